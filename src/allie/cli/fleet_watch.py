"""The views of the fleet over time: --log, --changed-since-last, --metrics, --site, --timer."""

from __future__ import annotations

from allie.cli.options import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """What is to be made, or told."""
    words = "what changed where and when; of a host, a host set or a path"
    parser.add_argument("--log", action="store_true", help=words)
    words = "print what became bad or good since this was last asked, and nothing else"
    parser.add_argument("--changed-since-last", action="store_true", help=words)
    words = "write metrics for node_exporter's textfile collector"
    parser.add_argument("--metrics", metavar="FILE", help=words)
    parser.add_argument("--site", metavar="DIR", help="write a static site")
    words = "have systemd do --site and --metrics every few minutes"
    parser.add_argument("--timer", action="store_true", help=words)


def is_asked(args: Namespace) -> bool:
    """Whether one of them is asked for."""
    return bool(args.log or args.changed_since_last or args.metrics or args.site or args.timer)


def run(args: Namespace, store: str) -> int:
    """Do it."""
    raise NotImplementedError
