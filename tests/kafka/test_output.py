"""The tests of what goes out to the embedded broker, once more on Apache Kafka."""

from tests.integration.test_output_tail import (
    shards,
    tail,
    test_tail__after_a_crash_only_the_rest_is_sent,
    test_tail__knows_only_the_same_bytes,
    test_tail__of_a_topic_made_anew_or_cut,
    test_tail__sends_a_user_again_from_what_is_missing,
)
from tests.integration.test_relay import (
    relay,
    test_relay__a_forgotten_shard_has_no_mark,
    test_relay__a_refused_entry_lets_nothing_overtake_it,
    test_relay__dead_letters_go_to_their_topic,
    test_relay__delivers_each_users_entries_in_order,
)

__all__ = [
    "relay",
    "shards",
    "tail",
    "test_relay__a_forgotten_shard_has_no_mark",
    "test_relay__a_refused_entry_lets_nothing_overtake_it",
    "test_relay__dead_letters_go_to_their_topic",
    "test_relay__delivers_each_users_entries_in_order",
    "test_tail__after_a_crash_only_the_rest_is_sent",
    "test_tail__knows_only_the_same_bytes",
    "test_tail__of_a_topic_made_anew_or_cut",
    "test_tail__sends_a_user_again_from_what_is_missing",
]
