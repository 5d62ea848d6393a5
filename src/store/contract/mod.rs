//! The promise of a store, as tests that every implementation passes.
//!
//! An implementation joins by implementing [`Subject`] and adding its name to the macro `promises`.

mod debounce;
mod elements;
mod enqueuing;
mod equivalence;
mod expecting;
mod failing;
mod grouping;
mod groups;
mod interrupting;
mod keeping;
mod leasing;
mod listing;
mod on_server;
mod operating;
mod pausing;
mod settling;
mod sighting;
mod subject;

pub(super) use on_server::Postgres;
pub(super) use sighting::sighting;
pub(super) use subject::{
    Memory, Recorded, Sqlite, Subject, UNLIMITED, after, arrival, dead, dedup_key, done, new_event_of, noise,
    pending, record, retry,
};

/// Runs every test against every implementation. Those after the arrow need records that outlive
/// the process.
macro_rules! promises {
    ($($group:ident: $($promise:ident),+;)+ => $($kept_group:ident: $($kept:ident),+;)+) => {
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
            $($(
                #[tokio::test(flavor = "multi_thread")]
                async fn $kept() {
                    super::$kept_group::$kept::<super::Sqlite>().await;
                }
            )+)+
        }
        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs a PostgreSQL server: `just cluster`"]
                async fn $promise() {
                    super::$group::$promise::<super::Postgres>().await;
                }
            )+)+
            $($(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs a PostgreSQL server: `just cluster`"]
                async fn $kept() {
                    super::$kept_group::$kept::<super::Postgres>().await;
                }
            )+)+
        }
    };
}

/// Uses everything that a store does, for tests of how it does it.
pub(super) async fn use_everything<S: Subject>() {
    enqueuing::a_duplicate_is_recognised_also_after_a_crash::<S>().await;
    enqueuing::a_remembered_dedup_key_is_never_shortened::<S>().await;
    enqueuing::an_event_is_read_back_after_a_clean_stop::<S>().await;
    sighting::the_first_sighting_counts_and_later_ones_add_headers::<S>().await;
    sighting::an_expired_sighting_is_replaced::<S>().await;
    leasing::a_released_delivery_waits_as_it_did::<S>().await;
    leasing::rules_take_turns_when_all_slots_are_in_use::<S>().await;
    leasing::the_next_due_time_is_that_of_the_first_unleased_delivery::<S>().await;
    pausing::pauses_are_kept_also_after_a_crash_and_the_first_one_counts::<S>().await;
    expecting::a_forgotten_expectation_is_gone_and_only_that_one::<S>().await;
    elements::an_expansion_replaces_a_delivery_in_one_write::<S>().await;
    elements::an_expansion_leaves_what_there_is_already::<S>().await;
    groups::overlap_coalesce_keeps_only_the_newest_queued_delivery::<S>().await;
    groups::overlap_replace_stops_the_running_delivery::<S>().await;
    debounce::a_debounced_delivery_obeys_the_overlap_of_its_busy_group::<S>().await;
    debounce::the_newest_delivery_is_due_after_the_quiet_time::<S>().await;
    failing::a_failure_makes_one_delivery_that_survives_a_crash::<S>().await;
    interrupting::an_attempt_that_ends_with_a_crash_counts_and_is_recorded::<S>().await;
    interrupting::after_a_clean_stop_running_attempts_are_recorded_and_do_not_count::<S>().await;
    interrupting::a_short_unmarked_attempt_is_known_the_second_time::<S>().await;
    settling::the_outputs_are_those_of_the_last_attempts_that_are_done::<S>().await;
    settling::a_postponed_delivery_keeps_its_attempt_after_a_crash::<S>().await;
    settling::forgetting_the_dedup_keys_accepts_the_same_event_again::<S>().await;
    settling::everything_is_counted::<S>().await;
    keeping::a_replayed_arrival_becomes_an_event_in_one_write::<S>().await;
    keeping::an_endpoint_keeps_no_more_records_than_it_wants::<S>().await;
    keeping::new_settings_take_effect_with_the_next_call::<S>().await;
    keeping::ended_events_are_swept_when_their_time_is_over::<S>().await;
    keeping::the_latest_match_of_each_secret_is_kept_also_after_a_crash::<S>().await;
}

promises! {
    enqueuing:
        an_event_is_read_back_byte_for_byte_after_a_crash,
        an_event_is_read_back_after_a_clean_stop,
        a_duplicate_is_recognised_also_after_a_crash,
        dedup_keys_are_remembered_per_rule,
        any_dedup_key_of_several_is_enough,
        a_dedup_key_is_remembered_up_to_its_last_moment,
        a_delivery_that_runs_duplicates_is_new_and_its_key_keeps_its_first_event,
        a_remembered_dedup_key_is_never_shortened,
        two_deliveries_of_one_event_to_one_rule_are_one_and_its_duplicate,
        an_event_with_only_duplicates_leaves_no_trace,
        an_event_id_is_accepted_once,
        of_64_callers_with_one_dedup_key_one_is_new,
        at_the_maximum_size_only_new_events_are_refused,
        with_too_little_free_space_only_new_events_are_refused;
    sighting:
        the_same_content_with_another_header_is_refused_for_every_rule,
        an_ignored_sighting_counts_at_once_and_after_a_restart,
        waiting_sightings_are_written_at_a_clean_stop,
        the_first_sighting_counts_and_later_ones_add_headers,
        any_key_of_several_is_enough_for_a_sighting,
        sightings_are_forgotten_like_dedup_keys,
        an_expired_sighting_is_replaced;
    leasing:
        due_deliveries_are_leased_by_due_time_then_by_arrival,
        a_delivery_that_is_leased_or_not_due_is_not_leased,
        many_callers_lease_everything_once,
        a_released_delivery_waits_as_it_did,
        leases_end_with_a_crash,
        the_next_due_time_is_that_of_the_first_unleased_delivery,
        a_slow_rule_with_many_deliveries_does_not_delay_another,
        slots_are_shared_and_a_new_rule_finds_a_free_one,
        a_rule_never_exceeds_its_limit,
        rules_take_turns_when_all_slots_are_in_use,
        a_machine_clock_that_is_set_back_delays_nothing,
        deliveries_of_one_event_share_it,
        what_is_put_into_the_queue_is_announced,
        the_reason_of_an_unverified_delivery_is_read_back;
    pausing:
        pauses_are_kept_also_after_a_crash_and_the_first_one_counts,
        deliveries_of_a_paused_rule_wait_and_go_on_in_order,
        an_attempt_that_runs_is_settled_and_the_next_action_waits,
        deliveries_of_rules_that_are_not_wanted_wait_and_delay_none;
    expecting:
        expectations_are_kept_also_after_a_crash_and_the_latest_counts,
        a_forgotten_expectation_is_gone_and_only_that_one;
    elements:
        elements_are_new_together_and_duplicates_together,
        a_lease_tells_its_element_also_after_a_crash,
        each_element_is_in_its_own_group_and_has_its_own_failure,
        an_expansion_replaces_a_delivery_in_one_write,
        an_expansion_leaves_what_there_is_already,
        an_expansion_needs_a_lease;
    groups:
        a_group_runs_its_limit_in_the_order_of_arrival,
        a_retry_keeps_its_turn_in_the_group_after_a_crash,
        a_wider_limit_does_not_wait_for_a_coalesced_delivery,
        overlap_skip_ends_a_delivery_of_a_busy_group,
        overlap_coalesce_keeps_only_the_newest_queued_delivery,
        overlap_replace_stops_the_running_delivery,
        a_replaced_delivery_that_is_done_before_it_stops_is_done,
        groups_do_not_wait_for_each_other;
    debounce:
        the_newest_delivery_is_due_after_the_quiet_time,
        the_longest_wait_ends_the_debounce,
        each_rule_and_group_is_debounced_separately,
        an_older_delivery_never_runs_after_a_newer_one_without_debounce,
        an_overdue_delivery_keeps_its_position,
        a_debounced_delivery_enters_its_group_when_its_wait_is_over,
        a_debounced_delivery_obeys_the_overlap_of_its_busy_group;
    failing:
        a_failure_makes_one_delivery_that_survives_a_crash,
        a_failure_delivery_that_fails_is_no_dead_letter_and_makes_no_further_one,
        a_failure_delivery_belongs_to_no_group_and_keeps_its_position;
    interrupting:
        an_attempt_that_ends_with_a_crash_counts_and_is_recorded,
        a_short_unmarked_attempt_is_known_the_second_time,
        a_lease_after_an_interruption_that_does_not_begin_is_not_counted,
        after_a_clean_stop_running_attempts_are_recorded_and_do_not_count,
        a_settled_interruption_counts_as_it_says,
        a_released_or_postponed_attempt_has_not_begun;
    settling:
        the_next_action_begins_with_its_first_attempt,
        the_outputs_are_those_of_the_last_attempts_that_are_done,
        a_retry_keeps_the_action_and_raises_the_attempt,
        a_postponed_delivery_keeps_its_attempt_after_a_crash,
        a_done_delivery_stays_done,
        a_dead_delivery_stays_listed,
        attempts_are_listed_oldest_first_and_the_latest_of_many,
        a_delivery_that_is_not_leased_is_not_settled,
        forgetting_the_dedup_keys_accepts_the_same_event_again,
        only_the_dedup_keys_of_this_event_and_rule_are_forgotten,
        everything_is_counted;
    keeping:
        a_ring_keeps_the_latest_and_no_ring_touches_the_other,
        a_ring_is_bounded_in_bytes,
        an_endpoint_keeps_no_more_records_than_it_wants,
        a_replayed_arrival_becomes_an_event_in_one_write,
        expired_dedup_keys_are_swept_with_some_slack,
        a_clock_that_is_ahead_for_an_hour_forgets_no_event,
        ended_events_are_swept_when_their_time_is_over,
        an_event_is_kept_while_one_of_its_deliveries_is_pending,
        a_dedup_key_outlives_its_event,
        a_sweep_goes_in_steps,
        a_step_of_a_sweep_is_bounded_in_deliveries_and_bytes,
        new_settings_take_effect_with_the_next_call,
        the_latest_match_of_each_secret_is_kept_also_after_a_crash,
        of_too_many_secrets_the_latest_used_are_kept,
        a_closed_store_says_so;
    =>
    operating:
        a_dead_delivery_is_replayed_from_its_first_action_and_that_is_recorded,
        a_running_delivery_that_is_dropped_can_be_replayed_at_once,
        a_dropped_delivery_occupies_its_group_until_its_attempt_is_over,
        what_was_dropped_while_it_ran_is_free_after_a_crash,
        an_ended_delivery_is_deleted_with_its_event_but_not_its_dedup_keys;
    grouping:
        dead_letters_of_one_cause_are_one_group_that_is_selected_replayed_and_dropped_exactly,
        the_backlog_counts_what_waits_and_ended_deliveries_do_not_count;
    listing:
        arrivals_are_listed_newest_first_without_gaps_also_at_equal_moments,
        a_tail_shows_each_arrival_once_in_the_order_of_arrival,
        an_event_is_read_back_with_its_decision_and_the_attempts_at_its_deliveries,
        deliveries_are_listed_by_rule_endpoint_state_and_time,
        a_prefix_finds_an_id_if_it_fits_one_event_only;
}
