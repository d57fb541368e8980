"""The number of each kind in a packed path: its place in this list, for ever.

A kind is added at the end and never moved or taken away, since stored paths say numbers. A test
holds the list to the registry.
"""

from __future__ import annotations

KINDS: tuple[str, ...] = (
    "application_started", "application_submitted", "application_abandoned",
    "application_acknowledged", "information_requested", "information_provided", "message_sent",
    "message_received", "call_made", "call_missed_by_employer", "call_missed_by_candidate",
    "chaser_received", "availability_requested", "availability_provided", "interview_scheduled",
    "interview_moved", "interview_cancelled", "interview_held", "interview_missed_by_employer",
    "interview_missed_by_candidate", "scorecard_submitted", "assessment_sent",
    "assessment_completed", "reference_requested", "reference_contacted", "reference_completed",
    "background_check_started", "background_check_completed", "stage_changed", "offer_decided",
    "offer_sent", "offer_accepted", "offer_declined", "offer_rescinded", "offer_expired",
    "rejection_decided", "rejection_sent", "withdrew", "hired", "application_reopened",
    "job_closed", "job_put_on_hold", "promise_made", "kept_in_mind", "nurture_sent",
    "survey_sent", "survey_reminded", "survey_answered", "feedback_given", "onboarding_started",
    "onboarding_completed", "employee_survey_answered", "left", "unrecognised_touchpoint",
    "touchpoint_corrected", "touchpoint_retracted", "candidates_merged", "candidates_unmerged",
    "person_erased",
)  # fmt: skip

NUMBER: dict[str, int] = {kind: number for number, kind in enumerate(KINDS)}
"""Kind → its number, which fits a byte."""
