"""The library that decodes JPEG files is recorded for a build, and one with other pixels is named."""

import pytest
from PIL import features

from qi_datasets.pixels.decoding import decoder_warning, jpeg_decoder
from qi_datasets.storage.manifest import library_versions


def pretend(turbo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: turbo if name == "libjpeg_turbo" else True)
    monkeypatch.setattr(features, "version", {"libjpeg_turbo": "3.1.0", "jpg": "9.6"}.get)


def test_the_usual_decoder_is_no_reason_for_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(True, monkeypatch)

    assert jpeg_decoder() == ("libjpeg-turbo", "3.1.0")
    assert decoder_warning() == ""
    assert library_versions()["libjpeg_turbo"] == "3.1.0"


def test_another_decoder_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(False, monkeypatch)

    assert jpeg_decoder() == ("libjpeg", "9.6")
    assert decoder_warning().startswith("Pillow decodes JPEG with libjpeg 9.6 here, not libjpeg-turbo: ")
    assert library_versions()["jpg"] == "9.6"
    assert "libjpeg_turbo" not in library_versions()
