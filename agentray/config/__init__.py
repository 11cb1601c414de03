"""Settings: the classes, and how they are read."""

from agentray.config.contamination import ContaminationConfig
from agentray.config.loading import load
from agentray.config.rescore import RescoreConfig
from agentray.config.stages import (
    AgentSource,
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
    TemplateConfig,
    TrainConfig,
    TuneConfig,
)
from agentray.config.suites import JudgeConfig, SuiteConfig, SuiteDataConfig

__all__ = [
    "AgentSource",
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
    "TemplateConfig",
    "TrainConfig",
    "TuneConfig",
    "load",
]
