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
    open_relay,
    relay,
    test_relay__a_forgotten_shard_has_no_mark,
    test_relay__a_refused_entry_lets_nothing_overtake_it,
    test_relay__carries_every_message_as_it_is,
    test_relay__dead_letters_go_to_their_topic,
    test_relay__delivers_each_users_entries_in_order,
    test_relay__knows_what_was_published_before,
    test_relay__replaces_a_producer_that_failed_while_idle,
    test_relay__tells_how_far_the_outputs_are_filled,
)

__all__ = [
    "open_relay",
    "relay",
    "shards",
    "tail",
    "test_relay__a_forgotten_shard_has_no_mark",
    "test_relay__a_refused_entry_lets_nothing_overtake_it",
    "test_relay__carries_every_message_as_it_is",
    "test_relay__dead_letters_go_to_their_topic",
    "test_relay__delivers_each_users_entries_in_order",
    "test_relay__knows_what_was_published_before",
    "test_relay__replaces_a_producer_that_failed_while_idle",
    "test_relay__tells_how_far_the_outputs_are_filled",
    "test_tail__after_a_crash_only_the_rest_is_sent",
    "test_tail__knows_only_the_same_bytes",
    "test_tail__of_a_topic_made_anew_or_cut",
    "test_tail__sends_a_user_again_from_what_is_missing",
]
