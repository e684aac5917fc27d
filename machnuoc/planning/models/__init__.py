"""What is owed: plans and targets, tasks, criteria programmes, projects and money, report duties."""

from machnuoc.planning.models.duties import Duty, DutyEvent, DutyInstance, DutyReminder, DutyUnit, FeedToken
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
    CriterionGoal,
    Discrepancy,
    Dossier,
    DossierEvent,
    Programme,
    RecognitionDeadline,
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
    TaskImport,
    TaskProgress,
    TaskReminder,
    TaskUnit,
)

__all__ = [
    "AcceptedVolume", "Assessment", "AssessmentChange", "Campaign", "Conclusion", "CriteriaSet", "Criterion",
    "CriterionGoal", "Disbursement", "Discrepancy", "Dossier", "DossierEvent", "Duty", "DutyEvent", "DutyInstance",
    "DutyReminder", "DutyUnit", "FeedToken", "FundingSource", "Handover", "HandoverItem", "HandoverPaper",
    "Meeting", "Milestone", "Obstacle", "Plan", "PlanAmendment", "PlanBasis", "Programme", "ProgrammeFund",
    "Project", "Proposal", "RecognitionDeadline", "Responsibility", "RoadmapChange", "RoadmapEntry", "RoadmapTotal",
    "Standing", "StandingChange", "StatedPosition", "SubIndicator", "Target", "TargetChange", "TargetJudgement",
    "TargetPoint", "TargetUnit", "Task", "TaskComment", "TaskHandover", "TaskImport", "TaskProgress",
    "TaskReminder", "TaskUnit", "Threshold", "UnitProfile", "UnreadRow", "YearlyPlan",
]  # fmt: skip
