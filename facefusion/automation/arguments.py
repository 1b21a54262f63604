"""The words of the command line, and what `--help` says about them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from facefusion.automation.suggesting import SuggestingParser

Command = Callable[..., int]

_DESCRIPTION = """\
Watches inbox/ and turns what is dropped there into swapped videos and photos in outbox/.
Without a command: watch until stopped (Ctrl-C).
"""
_EPILOG = """\
exit status:
  0  all well
  1  something failed, is held back or waits (--once; what failed in an earlier run and was not tried
     again does not count), or a check found something
  2  the program cannot start: settings, another daemon, arguments
  3  only --once: everything was processed, but in some target this run found no face
  130  ended with Ctrl-C; the daemon ends with 0
"""
_ROOT_HELP = "folder with settings, inbox and outbox (default: that of --config, or of the program)"
_PROGRAM = "simple_auto_processor.py"
_JOB_HELP = "number of a job, as `status` shows it, or the name of its file; or `all`"
_JSON_HELP = "for programs"


def build_parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser; what it answers has the chosen function as `command`.

    Args:
        run: function of each command by its name; `watch` is that without a name.
    """
    common = SuggestingParser(add_help=False)
    common.add_argument("--root", type=Path, metavar="DIR", default=argparse.SUPPRESS, help=_ROOT_HELP)
    common.add_argument(
        "--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="settings file"
    )
    shape = argparse.RawDescriptionHelpFormatter
    parser = SuggestingParser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        parents=[common],
        formatter_class=shape,
        allow_abbrev=False,
    )
    parser.add_argument("--once", action="store_true", help="process what is there, then exit")
    parser.add_argument(
        "--accept-use-policy", type=int, metavar="VERSION", help="agree to this version of the use policy"
    )
    parser.set_defaults(command=run["watch"])
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    def add(name: str, text: str, about: str, *examples: str) -> argparse.ArgumentParser:
        lines = [f"  {_PROGRAM} {example}" for example in examples]
        command = commands.add_parser(
            name,
            help=text,
            description=about,
            epilog="\n".join(["examples:" if len(lines) > 1 else "example:", *lines]) if lines else None,
            parents=[common],
            formatter_class=shape,
            allow_abbrev=False,
        )
        command.set_defaults(command=run[name])
        return command

    _add_queue(add)
    _add_installation(add)
    _add_records(add)
    return parser


def _add_queue(add: Callable[..., argparse.ArgumentParser]) -> None:
    status = add(
        "status",
        "what every file and job is doing",
        "Says what every job is doing, what every file waits for, and what helps against failures.\n"
        "Works with and without a running daemon, and changes nothing.",
        "status",
        "status --all",
    )
    status.add_argument("--json", action="store_true", help=_JSON_HELP)
    status.add_argument("--all", action="store_true", help="list every file, also what is done")
    retrying = add(
        "retry",
        "queue failed and held back jobs again; a finished one that is named is made anew",
        "Without a number: queues all failed and held back jobs again. With numbers: those jobs;\n"
        "a finished one that is named is made anew, with the settings of now or because its result is gone:\n"
        "the old result stays; the new one gets a number.",
        "retry",
        "retry 7",
    )
    retrying.add_argument("job", nargs="*", help=_JOB_HELP)
    add(
        "first",
        "have waiting jobs run before all others",
        "Puts waiting jobs at the head of the queue.",
        "first 12",
        "first holiday.mp4",
    ).add_argument("job", nargs="+", help="number of a job, as `status` shows it, or the name of its file")
    add(
        "cancel",
        "cancel waiting or running jobs",
        "Cancels waiting or running jobs; their files stay in the inbox, and `retry NUMBER` brings one back.",
        "cancel 12 13",
        "cancel all",
    ).add_argument("job", nargs="+", help=_JOB_HELP)


def _add_installation(add: Callable[..., argparse.ArgumentParser]) -> None:
    add(
        "doctor",
        "examine the installation, and files that are to be processed",
        "Examines everything that a job needs, and says for each finding what to do. Of each FILE it says\n"
        "what it is, whether it can be processed here, and how long that takes, where earlier jobs tell;\n"
        "of a picture also whether a face can be taken from it, and what a better one would have.\n"
        "Exit status 1 where something is wrong.",
        "doctor",
        "doctor holiday.mp4 portrait.jpg",
    ).add_argument(
        "file", type=Path, nargs="*", help="a video or picture, wherever it lies; it is left alone"
    )
    model = add(
        "models",
        "list, install, check or remove model files",
        "Lists model files with their licences and state, installs them, checks the installed ones, or\n"
        "removes some and what is remembered of them, so that newer ones may follow.",
        "models list",
        "models install inswapper_128 arcface_w600k_r50",
        "models check",
    )
    actions = ("list", "install", "check", "remove")
    model.add_argument("action", choices=actions, nargs="?", default="list", help="default: list")
    model.add_argument(
        "names",
        nargs="*",
        help="models, engines or processors to install (default: mesh); models to remove",
    )
    model.add_argument("--all", action="store_true", help="list every model")
    model.add_argument(
        "--accept-licence", action="store_true", help="accept the licences of the models that are installed"
    )
    model.add_argument("--online", action="store_true", help="also ask whether there is something newer")
    add(
        "config",
        "check the settings, or print their schema",
        "`check` says of every mistake in the settings file where it is and what is allowed; `schema`\n"
        "prints the JSON Schema, with all settings, their defaults and meanings.",
        "config check",
    ).add_argument("action", choices=("check", "schema"))
    bench = add(
        "benchmark",
        "measure this machine",
        "Measures how fast this computer swaps faces: each stage, whole clips, and 1, 5, 10 and 20 clips in\n"
        "a row. Takes some minutes; the inbox is left alone.",
        "benchmark --no-batches",
        "benchmark --clip holiday.mp4 --face anna.jpg",
    )
    bench.add_argument("--clip", type=Path, help="a video of your own (default: one is made)")
    bench.add_argument("--face", type=Path, help="a picture of a face (default: a sample picture)")
    bench.add_argument("--repeats", type=_positive, default=3, help="runs of each measurement (default: 3)")
    bench.add_argument("--no-batches", action="store_true", help="leave out the part about many clips")


def _add_records(add: Callable[..., argparse.ArgumentParser]) -> None:
    report = add(
        "report",
        "write the usage and error reports",
        "Writes outbox/analytics/ now (report.html, usage.json, errors.json) and prints the main figures.\n"
        "A running daemon does so by itself.",
        "report --days 7",
    )
    report.add_argument("--days", type=_positive, default=30, help="how far back (default: 30)")
    check = add(
        "verify",
        "whether files are marked as altered, and intact",
        "Reads the marks that a result carries, and says whether it was changed since it was made.\n"
        "Signers are those of one --root: what was made under another is valid, but its signer unknown.\n\n"
        "exit status (the worst of all files):\n"
        "  0  marked and intact\n"
        "  1  marked, but altered or partly stripped\n"
        "  2  nothing found, or the file cannot be read",
        "verify outbox/clip__anna.mp4",
    )
    check.add_argument("file", type=Path, nargs="+")
    check.add_argument("--json", action="store_true", help=_JSON_HELP)
    log = add(
        "audit",
        "check the audit log",
        "Checks that no entry of the audit log was changed or removed.",
        "audit check",
    )
    log.add_argument("action", choices=("check",))
    log.add_argument("--json", action="store_true", help=_JSON_HELP)
    purging = add(
        "purge",
        "remove what is remembered about faces",
        "Forgets the content hashes of files and pictures, unfinished work, and the history of ended jobs\n"
        "(done, without a face, failed, held back, cancelled) whose target is no longer in the inbox.\n"
        "Stays: waiting jobs and those of files that still lie in the inbox (or they would run again), the\n"
        "statistics, results and their reports, and the audit log; its lines can no longer be matched to a\n"
        "face. Even --everything keeps results, reports, the audit log, the signing identity and the\n"
        "acceptance of the use policy.",
        "purge",
        "purge --everything --yes",
    )
    purging.add_argument(
        "--everything", action="store_true", help="also the queue, the statistics and the log (asks first)"
    )
    purging.add_argument("--yes", action="store_true", help="do not ask, with --everything")
    purging.add_argument(
        "--discard-unpublished", action="store_true", help="also finished results that wait to be published"
    )


def _positive(word: str) -> int:
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError("a whole number, 1 or more")
    return number
