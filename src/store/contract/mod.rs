//! The promise of a store, as tests that every implementation passes.
//!
//! An implementation joins by implementing [`Subject`] and adding its name to the macro `promises`.

mod debounce;
mod enqueuing;
mod failing;
mod groups;
mod interrupting;
mod keeping;
mod leasing;
mod settling;
mod sighting;
mod subject;

pub(super) use sighting::sighting;
pub(super) use subject::{
    Memory, ROOM, Sqlite, Subject, after, arrival, dedup_key, done, pending, record, retry, taking_of,
};

/// Runs every test against every implementation.
macro_rules! promises {
    ($($group:ident: $($promise:ident),+;)+) => {
        mod memory {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    super::$group::$promise::<super::Memory>().await;
                }
            )+)+
        }
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    super::$group::$promise::<super::Sqlite>().await;
                }
            )+)+
        }
    };
}

promises! {
    enqueuing:
        what_was_taken_comes_back_byte_for_byte_after_a_crash,
        what_was_taken_comes_back_after_a_clean_end,
        a_duplicate_is_recognised_also_after_a_crash,
        nonces_are_remembered_for_each_rule,
        any_nonce_of_several_is_enough,
        a_nonce_is_remembered_up_to_its_last_moment_and_then_taken_again,
        a_delivery_that_runs_duplicates_is_new_and_its_nonce_stays_the_first_events,
        a_remembered_nonce_is_never_shortened,
        two_deliveries_to_one_rule_in_one_taking_are_one_and_its_duplicate,
        a_taking_of_duplicates_alone_leaves_no_trace,
        an_id_is_taken_once,
        of_64_callers_with_one_nonce_one_is_new,
        past_its_size_no_event_is_taken_and_everything_else_goes_on,
        where_too_little_is_free_no_event_is_taken_and_everything_else_goes_on;
    sighting:
        the_same_content_with_another_header_is_taken_by_no_rule,
        what_no_rule_wanted_counts_at_once_and_after_a_restart,
        what_waits_at_a_clean_end_is_written,
        the_first_sighting_counts_and_later_ones_add_headers,
        any_key_of_several_is_enough_for_a_sighting,
        sightings_are_forgotten_like_nonces,
        an_expired_sighting_gives_way;
    leasing:
        due_deliveries_are_leased_by_due_time_then_by_arrival,
        nobody_leases_what_is_leased_or_not_due,
        many_callers_lease_everything_once,
        a_released_delivery_waits_as_it_did,
        leases_end_with_a_crash,
        the_next_due_time_is_that_of_the_first_unleased_delivery,
        a_slow_rule_does_not_hold_up_another_however_much_waits_for_it,
        slots_are_shared_and_what_comes_new_finds_room,
        of_one_rule_no_more_are_leased_than_there_may_be,
        where_all_slots_are_taken_rules_take_turns,
        by_a_steady_clock_nothing_waits_longer_because_the_machines_is_set_back,
        deliveries_of_one_event_share_it,
        why_a_delivery_is_not_verified_comes_back_with_it;
    groups:
        of_a_lane_as_many_begin_as_it_allows_in_the_order_of_arrival,
        what_waits_for_another_attempt_keeps_its_turn_also_after_a_crash,
        what_has_the_wider_limit_does_not_wait_for_what_it_ended,
        what_comes_to_a_busy_lane_is_skipped_where_it_says_so,
        of_those_that_wait_the_newest_alone_is_kept_where_they_coalesce,
        what_is_under_way_is_to_be_stopped_where_it_is_replaced,
        what_was_to_be_stopped_and_was_done_before_is_done,
        lanes_of_other_names_do_not_wait_for_each_other;
    debounce:
        the_newest_is_due_when_nothing_has_come_for_a_while,
        what_never_comes_to_rest_is_due_all_the_same,
        each_rule_and_each_lane_waits_by_itself,
        none_comes_after_a_newer_one_that_does_not_wait,
        what_is_overdue_keeps_its_place,
        one_enters_its_lane_when_its_wait_is_over,
        one_whose_lane_is_busy_then_waits_or_is_skipped_as_its_overlap_says;
    failing:
        one_is_made_for_a_failure_once_and_survives_a_crash,
        what_fails_for_a_failure_is_no_dead_letter_and_none_is_made_for_it,
        it_waits_for_no_lane_and_behind_nobody;
    interrupting:
        an_attempt_that_ends_with_a_crash_counts_and_is_recorded,
        an_attempt_too_short_to_be_marked_is_known_the_second_time,
        what_is_leased_after_an_interruption_and_does_not_begin_is_not_counted,
        after_a_clean_stop_what_was_under_way_is_recorded_and_does_not_count,
        an_interruption_that_is_settled_counts_as_it_says,
        what_was_released_or_put_off_has_not_begun;
    settling:
        the_next_action_begins_with_its_first_attempt,
        a_retry_keeps_the_action_and_raises_the_attempt,
        what_is_put_off_keeps_its_attempt_also_after_a_crash,
        what_is_done_is_done,
        what_is_dead_stays_listed,
        attempts_are_listed_oldest_first_and_the_latest_of_many,
        what_is_not_leased_is_not_settled,
        forgetting_the_nonces_lets_the_same_event_in_again,
        only_the_nonces_of_this_event_and_rule_are_forgotten,
        everything_is_counted;
    keeping:
        refusals_are_a_ring_that_keeps_the_latest,
        long_refusals_are_cut,
        expired_nonces_are_swept_with_some_slack,
        a_clock_that_is_ahead_for_an_hour_forgets_no_event,
        ended_events_are_swept_when_their_time_is_over,
        an_event_is_kept_as_long_as_one_delivery_of_it_is_owed,
        a_nonce_outlives_its_event,
        a_sweep_goes_in_steps,
        other_settings_hold_from_the_next_call_on,
        the_latest_match_of_each_secret_is_kept_also_after_a_crash,
        of_too_many_secrets_those_that_matched_last_are_kept,
        a_closed_store_says_so;
}
