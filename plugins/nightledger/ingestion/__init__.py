"""From a bank's files to canonical, typed rows: contracts, landing, quarantine, load ledger."""

from nightledger.ingestion.contract import ContractError, SourceContract
from nightledger.ingestion.contract_files import load_contract, load_contracts
from nightledger.ingestion.coverage import business_days
from nightledger.ingestion.coverage import update as update_coverage
from nightledger.ingestion.feeds import create_tables
from nightledger.ingestion.landing import CollectReport, collect
from nightledger.ingestion.ledger import FileVerdict
from nightledger.ingestion.loading import has_pending, load
from nightledger.ingestion.pulling.pulls import PullReport, pull_all

__all__ = [
    "CollectReport",
    "ContractError",
    "FileVerdict",
    "PullReport",
    "SourceContract",
    "business_days",
    "collect",
    "create_tables",
    "has_pending",
    "load",
    "load_contract",
    "load_contracts",
    "pull_all",
    "update_coverage",
]
