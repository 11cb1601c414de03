"""Settings: the classes, and how they are read."""

from agentray.config.contamination import ContaminationConfig
from agentray.config.loading import load, validated
from agentray.config.mixing import MixConfig, Source
from agentray.config.stages import (
    EngineConfig,
    EnvSettings,
    EvaluateConfig,
    PairConfig,
    ReportConfig,
    RolloutConfig,
    SamplingConfig,
    ServeConfig,
    Settings,
    TasksConfig,
    TemplateConfig,
)
from agentray.config.suites import JudgeConfig, SuiteConfig
from agentray.config.training import Distribution, OptimizerConfig, TrainConfig, TuneConfig
from agentray.config.transfer import ExportConfig, ImportConfig
from agentray.config.transforms import FilterConfig, RescoreConfig, TransformConfig

__all__ = [
    "ContaminationConfig",
    "Distribution",
    "EngineConfig",
    "EnvSettings",
    "EvaluateConfig",
    "ExportConfig",
    "FilterConfig",
    "ImportConfig",
    "JudgeConfig",
    "MixConfig",
    "OptimizerConfig",
    "PairConfig",
    "ReportConfig",
    "RescoreConfig",
    "RolloutConfig",
    "SamplingConfig",
    "ServeConfig",
    "Settings",
    "Source",
    "SuiteConfig",
    "TasksConfig",
    "TemplateConfig",
    "TrainConfig",
    "TransformConfig",
    "TuneConfig",
    "load",
    "validated",
]
