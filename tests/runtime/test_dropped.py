"""What an owner used is closed when the owner is gone for good, and not before."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from inferkit.runtime.dropped import when_dropped


class Owner:
    def __init__(self, log):
        self._ticket = when_dropped(lambda: log.append(threading.current_thread()))


class Phoenix:
    """Brings back what it refers to, and itself, when it is found dead."""

    def __init__(self, owner, nest):
        self.owner = owner
        self.nest = nest
        self.itself = self

    def __del__(self):
        self.nest.append(self)


def test_the_step_is_called_once_when_the_last_reference_goes():
    log = []
    owner = Owner(log)
    other = owner
    del owner
    assert log == []
    del other
    assert log == [threading.current_thread()]


def test_an_owner_in_a_cycle_is_dropped_when_the_collector_finds_it():
    log = []
    owner = Owner(log)
    owner.itself = owner
    del owner
    gc.collect()
    assert len(log) == 1


def test_an_owner_that_a_finalizer_brings_back_to_life_keeps_what_it_uses():
    log, nest = [], []
    phoenix = Phoenix(Owner(log), nest)
    del phoenix
    gc.collect()
    assert len(nest) == 1
    assert log == []
    nest.pop().itself = None
    assert len(log) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_leaves_it_to_its_parent():
    log = []
    owner = Owner(log)
    pid = os.fork()
    del owner
    if pid == 0:
        os._exit(len(log))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(log) == 1
