"""Settings: the classes, and how they are read."""

from agentray.config.loading import load
from agentray.config.rescore import RescoreConfig
from agentray.config.stages import (
    EngineConfig,
    EnvSettings,
    EvaluateConfig,
    FilterConfig,
    GeneralSource,
    MixConfig,
    OptimizerConfig,
    ReportConfig,
    RolloutConfig,
    SamplingConfig,
    ServeConfig,
    Settings,
    TrainConfig,
    TuneConfig,
)

__all__ = [
    "EngineConfig",
    "EnvSettings",
    "EvaluateConfig",
    "FilterConfig",
    "GeneralSource",
    "MixConfig",
    "OptimizerConfig",
    "ReportConfig",
    "RescoreConfig",
    "RolloutConfig",
    "SamplingConfig",
    "ServeConfig",
    "Settings",
    "TrainConfig",
    "TuneConfig",
    "load",
]
