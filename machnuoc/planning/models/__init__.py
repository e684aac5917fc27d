"""What is owed: plans and targets, tasks, criteria programmes, projects and money, report duties."""

from machnuoc.planning.models.duties import Duty, DutyInstance, DutyReminder, DutyUnit, FeedToken
from machnuoc.planning.models.plans import (
    Plan,
    PlanAmendment,
    PlanBasis,
    Proposal,
    Standing,
    StandingChange,
    Target,
    TargetChange,
    TargetJudgement,
    TargetPoint,
    TargetUnit,
)
from machnuoc.planning.models.programmes import (
    Assessment,
    AssessmentChange,
    CriteriaSet,
    Criterion,
    Discrepancy,
    Dossier,
    DossierEvent,
    Programme,
    Responsibility,
    RoadmapChange,
    RoadmapEntry,
    RoadmapTotal,
    StatedPosition,
    SubIndicator,
    Threshold,
    UnitProfile,
    UnreadRow,
)
from machnuoc.planning.models.projects import (
    AcceptedVolume,
    Disbursement,
    FundingSource,
    Handover,
    HandoverItem,
    HandoverPaper,
    Milestone,
    Obstacle,
    ProgrammeFund,
    Project,
    YearlyPlan,
)
from machnuoc.planning.models.tasks import (
    Campaign,
    Conclusion,
    Meeting,
    Task,
    TaskComment,
    TaskHandover,
    TaskProgress,
    TaskUnit,
)

__all__ = [
    "AcceptedVolume", "Assessment", "AssessmentChange", "Campaign", "Conclusion", "CriteriaSet", "Criterion",
    "Disbursement", "Discrepancy", "Dossier", "DossierEvent", "Duty", "DutyInstance", "DutyReminder", "DutyUnit",
    "FeedToken", "FundingSource", "Handover", "HandoverItem", "HandoverPaper", "Meeting", "Milestone", "Obstacle",
    "Plan", "PlanAmendment", "PlanBasis", "Programme", "ProgrammeFund", "Project", "Proposal", "Responsibility",
    "RoadmapChange", "RoadmapEntry", "RoadmapTotal", "Standing", "StandingChange", "StatedPosition", "SubIndicator",
    "Target", "TargetChange", "TargetJudgement", "TargetPoint", "TargetUnit", "Task", "TaskComment", "TaskHandover",
    "TaskProgress", "TaskUnit", "Threshold", "UnitProfile", "UnreadRow", "YearlyPlan",
]  # fmt: skip
