"""Settings: the classes, and how they are read."""

from agentray.config.contamination import ContaminationConfig
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
from agentray.config.suites import JudgeConfig, SuiteConfig, SuiteDataConfig

__all__ = [
    "ContaminationConfig",
    "EngineConfig",
    "EnvSettings",
    "EvaluateConfig",
    "FilterConfig",
    "GeneralSource",
    "JudgeConfig",
    "MixConfig",
    "OptimizerConfig",
    "ReportConfig",
    "RescoreConfig",
    "RolloutConfig",
    "SamplingConfig",
    "ServeConfig",
    "Settings",
    "SuiteConfig",
    "SuiteDataConfig",
    "TrainConfig",
    "TuneConfig",
    "load",
]
