"""A local Ray, and a tiny model that can be trained in a second."""

import pytest


@pytest.fixture(scope="session")
def local_ray():
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> str:
    """A random Llama of 60k parameters with a byte-level tokenizer and a ChatML template."""
    from tiny import save_llama

    return str(save_llama(tmp_path_factory.mktemp("tiny")))
