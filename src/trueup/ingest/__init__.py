"""Each file of a source once."""

from trueup.ingest.diagnose import Diagnosis, diagnose
from trueup.ingest.handler import File, Incoming
from trueup.ingest.report import IngestRun
from trueup.ingest.verbs import ingest, should_process

__all__ = ["Diagnosis", "File", "Incoming", "IngestRun", "diagnose", "ingest", "should_process"]
