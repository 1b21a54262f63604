"""What each command of `simple_auto_processor.py` does; its words and exit status stand in `arguments`."""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from facefusion.automation import jobcommands, runcommand
from facefusion.automation.arguments import build_parser
from facefusion.automation.daemon import Options
from facefusion.automation.lock import holder
from facefusion.automation.processor import EXIT_DONE, EXIT_FAILED, SimpleAutoProcessor
from facefusion.automation.runcommand import LiveView
from facefusion.automation.statustext import status_lines
from facefusion.automation.terminal import (
    agreed,
    own_words,
    say_error,
    terminal_width,
    terminated_like_interrupted,
)
from facefusion.automation.workspace import printable
from facefusion.errors import ConfigError, FaceFusionError
from facefusion.wording import count, duration, near, wrap

EXIT_CANNOT_START, EXIT_INTERRUPTED = 2, 130


def main(
    arguments: Sequence[str] | None = None,
    *,
    options: Options | None = None,
    live_view: LiveView | None = None,
) -> int:
    """Run one command; returns the exit status.

    Args:
        arguments: words of the command line; those of this process if None.
        options: see `Options`.
        live_view: shows the daemon at work where standard output is a terminal; None for lines there, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold characters that its encoding has not
            stream.reconfigure(errors="backslashreplace")
    given = build_parser(COMMANDS).parse_args(arguments, argparse.Namespace(live_view=live_view))
    try:
        status: int = given.command(given, _processor(given, options))
    except FaceFusionError as error:
        say_error(error)
        return EXIT_CANNOT_START
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader (`status | head`) has seen enough
        sys.stderr.close()
        return EXIT_DONE
    return status


def show_status(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Say what every file and job is doing."""
    snapshot = processor.status()
    if given.json:
        print(json.dumps(snapshot.as_dict(), indent=2))
    else:
        for line in status_lines(snapshot, all_files=given.all, width=terminal_width()):
            print(line)
    return EXIT_DONE


def doctor(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Examine the installation, and files that are to be processed."""
    from facefusion.automation.speeds import measured_speeds
    from facefusion.checkup.doctor import run_checks

    workspace = processor.workspace
    checks = run_checks(
        processor.settings.current,
        settings_problem=processor.settings.problem,
        check_folders=workspace.check,
        inbox=workspace.inbox,
        outbox=workspace.outbox,
        state_dir=workspace.state_dir,
        models_dir=workspace.models_dir,
        used=workspace.database.exists(),
        targets=given.file,
        speeds=measured_speeds(workspace, processor.settings.current.quality_preset),
    )
    width = terminal_width()
    column = max(len(check.name) for check in checks)
    for check in checks:
        head = f"{'ok ' if check.ok else 'BAD'}  {check.name:<{column}}  "
        told = [printable(text) for text in (check.text, check.remedy and f"-> {check.remedy}") if text]
        rows = [row for text in told for row in (wrap(text, max(30, width - len(head))) if width else [text])]
        for number, row in enumerate(rows):
            print((" " * len(head) if number else head) + row)
    return EXIT_DONE if all(check.ok for check in checks) else EXIT_FAILED


def models(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """List, install, check or remove model files."""
    from facefusion.models import commands
    from facefusion.models.manager import ModelManager

    manager = ModelManager(processor.workspace.models_dir)
    if given.action == "check":
        return EXIT_FAILED if commands.check_models(manager, print, online=given.online) else EXIT_DONE
    if given.action == "remove":
        commands.remove_models(manager, given.names, print)
        return EXIT_DONE
    if given.action == "list":
        config = processor.settings.current
        print(commands.list_all_models(manager) if given.all else commands.list_models(manager, config))
        return EXIT_DONE
    ask = commands.ask_in_terminal if sys.stdin.isatty() and sys.stdout.isatty() else None
    commands.install_models(manager, given.names, print, ask=ask, accept_licences=given.accept_licence)
    return EXIT_DONE


def config(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Check the settings file, or print the schema."""
    from facefusion.config import json_schema, write_schema

    if given.action == "schema":
        print(json.dumps(json_schema(), indent=2))
        return EXIT_DONE
    try:
        processor.settings.require_good()
        processor.workspace.check()
    except ConfigError as error:
        say_error(error)
        return EXIT_FAILED
    path = processor.settings.path
    print(f"{printable(path)}: {'fine' if path.exists() else 'not there, so the defaults are in force'}.")
    if path.exists():
        write_schema(path.with_name("automation_config.schema.json"))
    return EXIT_DONE


def report(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Write the usage and error reports, and say the main figures."""
    from facefusion.reports.analytics import HTML_FILE, Analytics

    workspace = processor.workspace
    workspace.prepare_outbox()
    analytics = Analytics(workspace.analytics_dir, workspace.state_dir)
    used, errors = analytics.write_reports(given.days)
    facts = [count(used.jobs, "job"), f"{used.done:,} done"]
    others = (
        (used.no_face, "without a face"),
        (used.failed, "failed"),
        (used.blocked, "held back"),
        (used.cancelled, "cancelled"),
    )
    facts += [f"{number:,} {words}" for number, words in others if number]
    if used.success_rate is not None:
        rate = f"{math.floor(100 * used.success_rate)}%"  # 99.6 % is not all of them
        apart = " (without a face is no failure, but gives no result)" if used.no_face else ""
        facts.append(f"success {rate}{apart}")
    print(f"Last {count(given.days, 'day')}: {', '.join(facts)}.")
    if used.average_seconds is not None:
        frames = f", {count(used.frames, 'video frame')} written in all" if used.frames else ""
        print(f"On average {duration(used.average_seconds)} for a result{frames}.")
    if errors.recommendations:
        print("What helps against the failures:")
    for recommendation in errors.recommendations:
        print(f"  - {recommendation}")
    print(f"Report: {near(printable(workspace.analytics_dir / HTML_FILE))}")
    return EXIT_DONE


def audit(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Check that the audit log is as it was written."""
    from facefusion.trust.audit import check_audit

    found = check_audit(processor.workspace.state_dir)
    if given.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        fault = f"Line {found.break_line}: {found.reason}."
        print(f"{found.entries} entries are in order." if found.ok else fault)
        if found.note:
            print(found.note)
    return EXIT_DONE if found.ok else EXIT_FAILED


def benchmark(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Measure this machine."""
    from facefusion.checkup.benchmark import BATCH_SIZES, run_benchmark
    from facefusion.trust import policy

    processor.settings.require_good()
    if given.clip or given.face:
        policy.require_accepted(processor.workspace.state_dir, processor.settings.current)
    with own_words() as say, terminated_like_interrupted():
        found = run_benchmark(
            processor.workspace.models_dir.parent,
            processor.settings.current,
            clip=given.clip,
            face=given.face,
            repeats=given.repeats,
            sizes=() if given.no_batches else BATCH_SIZES,
            say=say,
        )
    if found.interrupted and sys.stdout.isatty():
        print()  # it shows ^C
    print(found.text())
    return EXIT_INTERRUPTED if found.interrupted else EXIT_DONE


def verify(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Say what files tell about how they came about, and whether it holds."""
    from facefusion.trust.identity import known_authorities
    from facefusion.trust.verify import Verdict, examine

    authorities = known_authorities(processor.workspace.state_dir)
    worst, findings = Verdict.INTACT, []
    for file in given.file:
        try:
            finding = examine(file, authorities)
        except FaceFusionError as error:
            print(error.message, file=sys.stderr)  # its remedy is about the inbox
            findings.append({"file": str(file), "verdict": "unreadable", "problem": error.message})
            worst = Verdict.NOTHING
            continue
        worst = max(worst, finding.verdict)
        findings.append(finding.as_dict())
        if not given.json:
            print(*finding.lines(), sep="\n")
    if given.json:
        print(json.dumps(findings, indent=2))
    return worst


def purge(given: argparse.Namespace, processor: SimpleAutoProcessor) -> int:
    """Remove what is remembered about faces and finished jobs."""
    from facefusion.automation.purge import EVERYTHING, purge_everything, purge_leftovers

    workspace = processor.workspace
    if (pid := holder(workspace.state_dir)) is not None:
        raise ConfigError(f"A daemon (process {pid}) works on this folder.", remedy="Stop it first.")
    if given.discard_unpublished and not given.everything:
        raise ConfigError(
            "--discard-unpublished goes with --everything.", remedy="Leave it out, or add that."
        )
    if not given.everything:
        lines: Iterable[str] = purge_leftovers(workspace)
    else:
        if not given.yes and not agreed(f"This removes {EVERYTHING}."):
            print("Nothing was removed.")
            return EXIT_FAILED
        lines = purge_everything(workspace, discard_unpublished=given.discard_unpublished)
    for line in lines:
        print(line)
    return EXIT_DONE


COMMANDS = {
    "watch": runcommand.watch,
    "status": show_status,
    "retry": jobcommands.retry,
    "first": jobcommands.first,
    "cancel": jobcommands.cancel,
    "doctor": doctor,
    "models": models,
    "config": config,
    "report": report,
    "verify": verify,
    "audit": audit,
    "benchmark": benchmark,
    "purge": purge,
}


def _processor(given: argparse.Namespace, options: Options | None) -> SimpleAutoProcessor:
    # Absent where not given: a default of the common options would override what stood before the command.
    settings: Path | None = getattr(given, "config", None)
    root: Path | None = getattr(given, "root", None)
    if root is None and settings is not None:
        root = settings.absolute().parent
    return SimpleAutoProcessor(root, settings, options=options)
