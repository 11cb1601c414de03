"""Settings: the classes, and how they are read."""

from agentray.config.contamination import ContaminationConfig
from agentray.config.loading import load
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
    "ContaminationConfig",
    "EngineConfig",
    "EnvSettings",
    "EvaluateConfig",
    "FilterConfig",
    "GeneralSource",
    "MixConfig",
    "OptimizerConfig",
    "ReportConfig",
    "RolloutConfig",
    "SamplingConfig",
    "ServeConfig",
    "Settings",
    "TrainConfig",
    "TuneConfig",
    "load",
]
