"""Modules are imported without the garbage collector, which is on again afterwards."""

import gc

import pytest

from glace_ros.command_line.importing import uncollected


@pytest.fixture(autouse=True)
def _unfrozen():
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_on_the_way_and_what_is_there_is_left_alone_later():
    gc.unfreeze()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000


def test_garbage_is_collected_again_after_an_import_that_failed():
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()
