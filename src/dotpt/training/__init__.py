"""Training checkpoints: when to save, what to keep, everything a run goes on from, in ordinary ``.pt`` files."""

from typing import TYPE_CHECKING, Any

from dotpt.training.latest import latest_whole as latest_whole
from dotpt.training.moments import Moment as Moment
from dotpt.training.moments import Stored as Stored
from dotpt.training.policies import All as All
from dotpt.training.policies import Best as Best
from dotpt.training.policies import EveryEpochs as EveryEpochs
from dotpt.training.policies import EveryMinutes as EveryMinutes
from dotpt.training.policies import EverySteps as EverySteps
from dotpt.training.policies import Latest as Latest
from dotpt.training.policies import Never as Never
from dotpt.training.policies import OnSignal as OnSignal
from dotpt.training.policies import Policy as Policy
from dotpt.training.policies import Steps as Steps
from dotpt.training.resume_report import ResumeReport as ResumeReport

if TYPE_CHECKING:
    from dotpt.training.torch_check import check_resume as check_resume


def __getattr__(name: str) -> Any:
    if name != "check_resume":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dotpt.training.torch_check import check_resume

    return check_resume
