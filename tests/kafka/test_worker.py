"""The tests of the worker on the embedded broker, once more on Apache Kafka."""

from tests.integration.test_worker import (
    test_worker__equals_the_reference,
    test_worker__fires_deadlines_in_silence,
    test_worker__loses_only_the_shard_that_is_taken,
    test_worker__reloads_a_shard_whose_store_went_back,
    test_worker__stops_cleanly_under_load,
    test_worker__takes_a_changed_policy_over,
)

__all__ = [
    "test_worker__equals_the_reference",
    "test_worker__fires_deadlines_in_silence",
    "test_worker__loses_only_the_shard_that_is_taken",
    "test_worker__reloads_a_shard_whose_store_went_back",
    "test_worker__stops_cleanly_under_load",
    "test_worker__takes_a_changed_policy_over",
]
