"""`pledgewatch-cloud milestones`: where milestones stand and why, by the journal, also while the service runs."""

import argparse
import sys

from pledgewatch_cloud.commands.options import Commands, add_data, state_of
from pledgewatch_cloud.decide.milestones import explain
from pledgewatch_cloud.decide.milestones.lifecycle import Memo


def add(commands: Commands) -> None:
    """The command's options."""
    milestones = commands.add_parser("milestones", help="where milestones stand, what they wait for and why")
    acts = milestones.add_subparsers(required=True, metavar="ACT")
    listing = acts.add_parser("list", help="every milestone of the book, a line each")
    one = acts.add_parser(
        "explain", help="which facts hold, which are missing, what each rests on, what if one fell away"
    )
    one.add_argument("milestone", metavar="ID")
    for act, run in ((listing, _list), (one, _explain)):
        add_data(act)
        act.set_defaults(command=run)


def _list(options: argparse.Namespace) -> int:
    state = state_of(options.data)
    for identity, milestone in sorted(state.book.milestones.items()):
        print(explain.heading(milestone, state.milestones.get(identity, Memo(milestone.facility))))
    return 0


def _explain(options: argparse.Namespace) -> int:
    state = state_of(options.data)
    if options.milestone not in state.book.milestones:
        print(explain.unknown(state.book, options.milestone), file=sys.stderr)
        return 2
    for line in explain.lines(explain.explain(state, options.milestone)):
        print(line)
    return 0
