"""The table of faults: each row is proven by scenarios, by tests that exist anyway, or says why it is not run here."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults import clusters, crowds, disks, networks, processes, replicas
from tests.faults.trial import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *processes.SCENARIOS,
    *networks.SCENARIOS,
    *disks.SCENARIOS,
    *crowds.SCENARIOS,
    *replicas.SCENARIOS,
    *clusters.SCENARIOS,
)
SOAK = "make soak"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Attributes:
        number: Its place in the campaign, 1 to 32.
        fault: What is done.
        holds: What must hold.
        bound: Time to I5, in words.
        tests: Tests, as ``path::name``, that prove it or a part of it.
        not_run: What is not tried here, and why; empty where all is.
    """

    number: int
    fault: str
    holds: str
    bound: str
    tests: tuple[str, ...] = ()
    not_run: str = ""

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """The scenarios that prove it."""
        return tuple(one for one in SCENARIOS if one.number == self.number)


_C, _I, _U, _E = "tests/contract/", "tests/integration/", "tests/unit/", "tests/e2e/"
_JUDGE = _I + "test_judge_exactly_once.py::"
_INFER = _I + "test_infer_faults.py::"
_SERVICE = _I + "test_infer_service.py::"
_FRAMES = _C + "test_broker_frames.py::"
_HOOKS = _I + "test_notify_webhooks.py::"
_DEMO = _E + "test_demo.py::test_kill_9_of_any_one_process_loses_and_doubles_no_event"

ROWS: tuple[Row, ...] = (
    Row(
        1, "kill -9 of an inference worker in mid batch", "frames are looked at again or counted as stale", "13 s",
        (_INFER + "test_frames_of_a_worker_killed_in_a_batch_each_end_in_one_outcome", _DEMO),
    ),
    Row(
        2, "kill -9 of the judge, every 0.4 to 1.2 s", "the events are those of a judge that never fails", "8 s",
        (_JUDGE + "test_killed_judges_lose_and_double_nothing",
         _JUDGE + "test_a_dead_judge_is_replaced_within_its_lease_and_a_second"),
    ),
    Row(
        3, "a judge is stopped for three leases and goes on", "its commits are refused; no event twice", "8 s",
        (_JUDGE + "test_competing_and_frozen_judges_lose_and_double_nothing",
         _C + "test_broker_ownership.py::test_a_zombie_is_fenced_and_leaves_nothing_behind"),
    ),
    Row(
        4, "kill -9 of the state broker, restart with its file", "no confirmed result or event is lost", "back + 5 s",
        (_JUDGE + "test_a_broker_that_crashes_loses_and_doubles_nothing", _DEMO),
        "power loss: up to a second of an append-only file with everysec; a machine cannot be unplugged here",
    ),
    Row(
        5, "kill -9 of the frames broker", "only queued frames are lost, and counted", "back + 5 s", (_DEMO,),
    ),
    Row(
        6, "FLUSHALL on the frames broker while workers wait", "as 5; groups are made again, calmly", "3 s",
        (_FRAMES + "test_b15_a_waiting_reader_survives_the_loss_of_its_groups",),
    ),
    Row(
        7, "a broker hangs for 12 s", "processes live, say they are not ready, and go on", "back + 5 s",
        (_C + "test_broker_client.py::test_b02_a_stopped_broker_gets_one_write_only",),
    ),
    Row(
        8, "replies are lost, requests arrive, 10 s", "nothing twice, nothing hidden", "healed + 5 s",
        (_FRAMES + "test_b04_frames_of_a_lost_reply_are_read_again",
         _C + "test_broker_ownership.py::test_a_lost_commit_reply_is_settled_by_loading_again"),
    ),
    Row(9, "cut, black hole, 300 ms, reset in mid frame, 200 kB/s", "I1 to I5; no half frame", "healed + 10 s"),
    Row(
        10, "Sentinel: the primary hangs, its replica takes over", "loses what was not replicated, counted", "10 s",
        (_I + "test_broker_sentinel.py::test_sentinel_names_the_primary",
         _I + "test_subscriber.py::test_after_a_failover_that_lost_events_the_cursor_goes_back"),
    ),
    Row(
        11, "Cluster of three, a node dies or hangs for 10 s", "other partitions go on; nothing is lost or twice",
        "back + 10 s",
        (_I + "test_cluster_node_lost.py::test_a_judge_goes_on_with_the_partitions_of_the_other_nodes",
         _I + "test_cluster_node_lost.py::test_an_infer_worker_goes_on_with_cameras_of_the_other_nodes"),
    ),
    Row(
        12, "inference ten times too slow", "newest first, fair shares, flat memory, every drop counted", "at once",
        (_SERVICE + "test_under_overload_every_camera_keeps_a_fair_share_and_every_frame_is_accounted_for",),
    ),
    Row(
        13, "a broker at its memory limit", "consumers drain, leases are kept, frames are refused and counted", "5 s",
        (_FRAMES + "test_b19_a_full_frames_broker_refuses_frames_and_still_gives_them_out",
         _C + "test_broker_ownership.py::test_b19_a_full_state_broker_still_grants_leases_and_commits"),
    ),
    Row(
        14, "pictures that are none, or broken", "refused with a reason", "none",
        (_U + "test_jpeg.py::test_what_may_not_be_decoded_is_refused_with_its_reason",
         _U + "test_jpeg.py::test_the_guard_survives_any_bytes",
         _U + "test_infer_decoding.py::test_each_frame_of_a_list_is_decoded_or_refused_in_its_place"),
    ),
    Row(
        15, "a small JPEG that claims 30000 x 30000", "refused by its header", "none",
        (_U + "test_jpeg.py::test_what_may_not_be_decoded_is_refused_with_its_reason",
         _U + "test_jpeg.py::test_a_thumbnail_inside_the_header_does_not_mislead_the_guard"),
    ),
    Row(
        16, "entries that are none of ours", "put aside as dead letters, nobody is held up", "1 s",
        (_SERVICE + "test_malformed_entries_are_counted_and_block_nobody",
         _JUDGE + "test_foreign_entries_are_put_aside_and_passed_over"),
    ),
    Row(
        17, "a frame that kills its worker", "it alone ends in the dead letters, after three tries", "45 s",
        (_INFER + "test_a_frame_that_kills_its_worker_ends_in_the_dead_letters"
         "_after_three_tries_and_takes_no_other_along",
         _SERVICE + "test_a_frame_that_fails_costs_only_itself"),
    ),
    Row(
        18, "a device that hangs for ever", "the worker ends by itself, its frames go on", "75 s",
        (_INFER + "test_a_worker_whose_device_hangs_ends_by_itself_and_its_frame_goes_to_another",),
    ),
    Row(
        19, "damaged model files", "refused by their hash; what serves goes on", "next poll",
        (_I + "test_hotswap_faults.py::test_whatever_lies_in_the_registry_in_place_of_weights_is_refused_by_its_hash",
         _U + "test_admission.py::test_two_hundred_thousand_tensors_are_refused"),
    ),
    Row(
        20, "kill -9 while a version is published", "it is whole or not there; leftovers go", "none",
        (_I + "test_registry_faults.py::test_a_killed_publisher_leaves_whole_versions_in_a_folder",
         _I + "test_registry_faults.py::test_a_killed_publisher_leaves_whole_versions_on_the_broker",
         _I + "test_registry_faults.py::test_files_without_a_version_are_never_seen_and_expire"),
    ),
    Row(
        21, "networks that do not compute what they claim", "never serve", "none",
        (_I + "test_hotswap_faults.py::test_networks_that_do_not_compute_what_their_manifest_says_never_serve",
         _U + "test_admission.py::test_tensors_must_be_those_of_the_architecture",
         _U + "test_admission.py::test_weights_that_are_not_finite_are_refused"),
    ),
    Row(
        22, "promotions and rollbacks race", "one winner a generation, all workers end on it", "10 s",
        (_C + "test_registry.py::test_two_promoters_and_a_rollback_have_one_winner_each_round",
         _I + "test_hotswap.py::test_two_processes_end_on_one_generation_after_a_hundred_races"),
    ),
    Row(
        23, "clocks off by an hour", "order by number, age and leases by the broker's clock; the skew is shown", "none",
        not_run="the broker's own clock set back: it is the clock of this machine",
    ),
    Row(
        24, "a tenth of the results twice, others out of order", "I2 to I4", "none",
        (_JUDGE + "test_killed_judges_lose_and_double_nothing",
         _U + "test_judge_reorder.py::test_whatever_arrives_in_whatever_order_adds_up"),
    ),
    Row(
        25, "full disks: registry, pictures, append-only file", "nothing half done; goes on once there is space",
        "space + 10 s",
        (_I + "test_registry_faults.py::test_a_full_disk_changes_nothing",
         _I + "test_registry_faults.py::test_a_cache_without_space_leaves_no_half_copy",
         _I + "test_pictures.py::test_a_frames_broker_without_memory_drops_pictures_and_counts_them"),
    ),
    Row(
        26, "a camera freezes, is cut off, stalls, returns", "said in time, open violations end with a reason", "10 s",
        (_I + "test_producers_live.py::test_rtsp_frames_arrive_and_a_cut_camera_comes_back",
         _I + "test_producers_live.py::test_frozen_and_dark_pictures_are_told_apart_from_good_ones",
         _I + "test_producers_live.py::test_a_motion_jpeg_camera_that_stalls_is_offline_until_it_sends_again",
         _U + "test_judge_scenarios.py::test_a_lost_camera_ends_its_episodes_and_says_so_once"),
    ),
    Row(
        27, "a subscriber that is too slow", "it is told of the gap; nobody else notices", "none",
        (_I + "test_subscriber.py::test_a_reader_that_is_too_slow_is_told_while_running",
         _C + "test_broker_streams.py::test_b28_a_subscriber_that_was_too_slow_is_told"),
    ),
    Row(
        28, "webhook receivers: down, slow, errors, endless bodies", "at least once, in order, others unaffected",
        "up + 60 s",
        (_HOOKS + "test_nothing_is_lost_while_a_receiver_is_down_and_others_go_on",
         _HOOKS + "test_misbehaviour_is_counted_as_what_it_is_and_tried_again",
         _HOOKS + "test_an_endless_body_after_200_is_a_delivery",
         _HOOKS + "test_a_name_that_leads_to_a_private_address_gets_nothing"),
    ),
    Row(
        29, "SIGTERM under load", "what is in work is finished, the rest handed over, status 0", "10 s",
        (_INFER + "test_a_worker_without_torch_ends_with_status_0_on_sigterm_and_hands_over_what_waits",
         _I + "test_producers_files.py::test_a_signal_ends_the_process_with_a_last_word_on_every_camera",
         _HOOKS + "test_sigterm_stores_the_place_so_that_nothing_is_sent_twice"),
    ),
    Row(
        30, "1,000 cameras, cameras that come and go", "the others do not notice", "none",
        (_I + "test_live_plan.py::test_a_new_plan_adds_changes_and_removes_cameras_and_leaves_the_others_alone",),
        "a thousand cameras that deliver: two cores cannot draw and encode their pictures",
    ),
    Row(
        31, "misspelt or impossible settings", "refused at the start, with the nearest name", "1 s",
        (_I + "test_commands.py::test_a_misspelt_key_ends_with_status_2_and_the_nearest_name",
         _I + "test_commands.py::test_a_misspelt_variable_ends_with_status_2",
         _U + "test_siteplan.py::test_a_bad_plan_names_the_key_and_the_nearest_valid_name",
         _C + "test_broker_streams.py::test_the_first_start_fixes_the_partition_count"),
    ),
    Row(
        32, "all of it at random, with restarts and model promotions, for a long time", "all invariants", "none",
        ("tests/faults/test_quick.py::test_a_short_soak_holds_all_invariants",),
    ),
)  # fmt: skip
