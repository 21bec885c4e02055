"""Areas F, G and K of the threat catalogue, entry by entry: the tests that prove it, or why there is nothing to prove
here. Counts are printed by these tests when the run ends (tests/support/tally.py)."""

from __future__ import annotations

import pytest

from tests.hostile.test_area_b import functions_of
from tests.support import tally

CANARIES, IDS = "tests/telemetry/test_canaries.py", "tests/leaks/test_identifiers.py"
ONE_PATH = "tests/leaks/test_one_path.py"
LOGS, METRICS = "tests/telemetry/test_logs.py", "tests/http/test_operations.py"
REST = "tests/keys/test_at_rest.py"
KINDS, LEDGER, KEPT = (
    "tests/traces/test_kinds.py",
    "tests/writing/test_trace_ledger.py",
    "tests/traces/test_catalogue.py",
)
PLACES, TREE, ALTERED = "tests/audit/test_places.py", "tests/audit/test_tree.py", "tests/audit/test_alterations.py"
MAILS, FLOODS, RETENTION = "tests/notify/test_smtp.py", "tests/limits/test_requests.py", "tests/jobs/test_retention.py"
RESTORED, LOADED = "tests/backup/test_restoring.py", "tests/backup/test_under_load.py"
SCHEMA, KEYS, SEALING = "tests/store/test_schema.py", "tests/keys/test_key_store.py", "tests/keys/test_sealing.py"
CALLERS, CERTIFICATES = "tests/hostile/test_callers.py", "tests/identity/test_certificates.py"
AWAY = "tests/keys/test_keys_away.py"
EXPIRING = "tests/identity/test_expiring.py"
ON_DATA = "tests/store/test_migrations_on_data.py"
DATES = "tests/registry/search/test_dates.py"

PROVED: dict[str, tuple[str, ...]] = {
    "TF-149": (f"{CANARIES}::test_tf_150_no_canary_in_what_the_server_writes",),
    "TF-150": (f"{CANARIES}::test_tf_150_no_canary_in_what_the_server_writes",),
    "TF-151": (f"{LOGS}::test_tf_151_one_event_is_one_line",),
    "TF-152": (
        "tests/hostile/test_raw.py::test_no_byte_of_a_log_is_a_secret",
        "tests/hostile/test_access.py::test_hidden_by_id",
    ),
    "TF-153": (
        f"{ONE_PATH}::test_hidden_documents",
        f"{ONE_PATH}::test_resources_of_a_record_that_one_may_not_open",
        "tests/leaks/test_time.py::test_bytes_of_a_real_server",
        "tests/leaks/test_hidden.py::test_tf_009_to_tf_018_searches",
    ),
    "TF-154": (
        f"{IDS}::test_tf_154_no_order_no_time_nothing_of_what_is_named",
        f"{IDS}::test_tf_154_nothing_is_derived_from_content_or_ins",
    ),
    "TF-155": (f"{IDS}::test_tf_155_versions_are_those_of_the_product_alone",),
    "TF-156": (f"{METRICS}::test_tf_156_metrics_are_for_the_operator",),
    "TF-157": (f"{CANARIES}::test_tf_157_messages_say_nothing_of_a_person",),
    "TF-158": (f"{CANARIES}::test_tf_158_nothing_is_left_of_uploads",),
    "TF-159": (f"{REST}::test_what_the_files_and_the_database_hold",),
    "TF-160": (f"{IDS}::test_tf_160_the_capability_statement_names_public_addresses_only",),
    "TF-161": (f"{KINDS}::test_each_act_leaves_exactly_its_entries", f"{LEDGER}::test_the_log_is_what_the_clients_saw"),
    "TF-162": (f"{KINDS}::test_each_act_leaves_exactly_its_entries", f"{LEDGER}::test_the_log_is_what_the_clients_saw"),
    "TF-163": (f"{KEPT}::test_tf_163_the_query_as_sent_and_no_results",),
    "TF-164": (
        f"{KINDS}::test_each_act_leaves_exactly_its_entries",
        f"{KEPT}::test_tf_164_one_entry_for_each_patient",
    ),
    "TF-165": (f"{KINDS}::test_each_act_leaves_exactly_its_entries",),
    "TF-166": (
        "tests/audit/test_no_trace.py::test_nothing_is_answered_without_its_trace",
        "tests/audit/test_forwarding.py::test_a_repository_that_is_away_blocks_nothing",
        "tests/audit/test_forwarding.py::test_many_waiting_events_and_long_waits_are_alerts",
        "tests/audit/test_forwarding.py::test_a_repository_killed_in_the_middle_misses_nothing",
    ),
    "TF-167": ("tests/writing/test_trace_kills.py::test_act_and_entry_are_both_there_or_neither",),
    "TF-168": (f"{KEPT}::test_tf_168_nobody_changes_an_entry",),
    "TF-169": (
        f"{ALTERED}::test_a_changed_column",
        f"{ALTERED}::test_an_inserted_entry",
        "tests/audit/test_forgery.py::test_an_entry_appended_by_the_rules",
        "tests/audit/test_watching.py::test_what_an_insider_does_is_an_alert_at_the_next_look",
    ),
    "TF-170": (
        f"{PLACES}::test_the_account_of_the_server_can_only_add",
        f"{PLACES}::test_the_database_refuses_to_change_the_tree",
    ),
    "TF-171": (f"{TREE}::test_published_inclusion_proofs", f"{TREE}::test_published_consistency_proofs"),
    "TF-172": (
        f"{PLACES}::test_heads_that_prove_nothing",
        f"{ALTERED}::test_a_head_is_taken_away",
        f"{ALTERED}::test_two_heads_of_one_size",
        f"{ALTERED}::test_the_log_is_rolled_back",
    ),
    "TF-173": (f"{KEPT}::test_tf_173_who_reads_the_trace",),
    "TF-174": (f"{PLACES}::test_clocks_jump_and_the_order_stays",),
    "TF-175": (f"{KEPT}::test_tf_175_numbers_of_requests",),
    "TF-176": ("tests/traces/test_history.py::test_two_hundred_accesses_of_all_kinds_are_in_the_patients_view",),
    "TF-177": (f"{MAILS}::test_every_kind_of_message_is_sent_once_and_says_nothing",),
    "TF-178": (f"{FLOODS}::test_tf_178_a_flood_of_bad_tokens",),
    "TF-179": (
        "tests/audit/test_large_log.py::test_a_large_log",
        "tests/traces/test_large_search.py::test_searches_of_a_large_trace",
    ),
    "TF-180": (f"{RETENTION}::test_tf_180_the_trace_outlives_the_record",),
    "TF-233": (f"{LOADED}::test_tf_233_backups_while_clients_write",),
    "TF-235": (f"{RESTORED}::test_tf_235_a_bad_backup_is_found_before_anything_is_touched",),
    "TF-236": (f"{RESTORED}::test_tf_236_a_stolen_backup_tells_nothing",),
    "TF-234": ("tests/backup/test_point_in_time.py::test_tf_234_any_moment",),  # a campaign: benchmarks/campaigns.md
    "TF-237": (
        f"{ON_DATA}::test_tf_238_every_step_is_killed_and_run_again",
        f"{ON_DATA}::test_tf_237_from_every_released_schema",
    ),
    "TF-238": (
        f"{ON_DATA}::test_tf_238_every_step_is_killed_and_run_again",
        f"{ON_DATA}::test_tf_238_the_disk_is_full",
        f"{ON_DATA}::test_tf_238_somebody_holds_a_lock",
        f"{SCHEMA}::test_two_programs_may_migrate_at_once",
    ),
    "TF-239": (
        f"{ON_DATA}::test_tf_239_what_a_way_back_loses_is_told_before",
        f"{RESTORED}::test_a_registry_that_was_served_is_replaced",
    ),
    # The functional suite runs on both databases: it is `make test` itself (tests.conftest.DIALECTS).
    "TF-240": (f"{RESTORED}::test_restore_drill", f"{RESTORED}::test_tf_240_thousands_of_documents"),
    "TF-241": (
        f"{KEYS}::test_rotations_killed_half_way_while_others_read",
        "tests/keys/test_rotations.py::test_tf_241_ten_rotations",  # a campaign: benchmarks/campaigns.md
    ),
    "TF-242": (
        f"{KEYS}::test_whatever_is_missing_or_wrong_stops_the_start_and_changes_nothing",
        f"{KEYS}::test_a_key_service_that_is_away_or_slow",
        f"{AWAY}::test_keys_that_go_away_while_it_runs",
        f"{AWAY}::test_the_key_of_one_record",
        f"{AWAY}::test_a_key_database_that_is_away",
    ),
    "TF-243": (f"{REST}::test_what_changed_places_is_never_served", f"{SEALING}::test_a_body_opens_nowhere_else"),
    "TF-244": (f"{SEALING}::test_no_key_and_nonce_twice",),
    "TF-245": (
        f"{RETENTION}::test_tf_245_ten_years_to_the_day",
        f"{RETENTION}::test_tf_245_reopened_in_between",
        f"{RETENTION}::test_tf_245_a_held_record_is_kept",
        f"{RETENTION}::test_tf_245_a_deceased_holder",
    ),
    "TF-246": (f"{REST}::test_a_destroyed_record_is_unreadable_in_an_older_backup",),
    "TF-247": (f"{CALLERS}::test_clocks_that_differ", f"{CALLERS}::test_two_servers_thirty_seconds_apart"),
    "TF-248": (
        f"{DATES}::test_every_prefix_with_every_precision",
        "tests/profiles/test_primitives.py::test_tf_248_traps_of_the_calendar",
        "tests/profiles/test_primitives.py::test_tf_248_no_dates",
    ),
    "TF-249": (
        f"{CERTIFICATES}::test_a_new_list_is_seen_without_a_restart",
        f"{CERTIFICATES}::test_a_certificate_expires_while_it_is_remembered",
        f"{CERTIFICATES}::test_an_authority_that_is_no_longer_trusted",
        "tests/hostile/test_tls.py::test_certificates_are_renewed_without_a_cut",
        f"{EXPIRING}::test_what_ends_soon_is_told",
        f"{EXPIRING}::test_an_authority_at_the_end_of_its_time_beside_the_next_one",
        f"{EXPIRING}::test_one_line_a_day_whatever_the_workers",
    ),
    "TF-250": (
        "tests/test_safety.py::test_the_server_does_not_start_unsafe",
        "tests/test_safety.py::test_no_command_takes_a_secret",
        "tests/test_safety.py::test_no_secret_in_a_repr",
        "tests/test_safety.py::test_no_secret_in_a_bad_setting",
        "tests/test_safety.py::test_no_secret_of_a_process_in_sight",
        "tests/test_safety.py::test_the_checkout_holds_no_secret",
        f"{SEALING}::test_nothing_shows_a_key",
    ),
}
ELSEWHERE: dict[str, str] = {}
ENTRIES = {
    "F": [f"TF-{number}" for number in range(149, 161)],
    "G": [f"TF-{number}" for number in range(161, 181)],
    "K": [f"TF-{number}" for number in range(233, 251)],
}


@pytest.mark.parametrize(("area", "entry"), [(area, each) for area, entries in ENTRIES.items() for each in entries])
def test_every_entry_is_proved_or_it_is_said_where(area: str, entry: str) -> None:
    assert (entry in PROVED) != (entry in ELSEWHERE)
    for test in PROVED.get(entry, ()):
        file, _, name = test.partition("::")
        assert name in functions_of(file), test
    tally.count(area, "entries proved by tests", int(entry in PROVED))
    tally.count(area, "entries that are no test", int(entry in ELSEWHERE))
