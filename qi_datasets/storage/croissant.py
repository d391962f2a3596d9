"""`croissant.json` of a stored set: its content, in the vocabulary of data set search engines and reviewers.

It is written with each set, as its card is, so that the folder is published byte for byte, and the manifest has its
SHA-256 too. Croissant 1.1 with its vocabulary for responsible AI: https://docs.mlcommons.org/croissant/.
"""

import json
import re
from pathlib import Path

from qi_datasets.set_spec import Licence, SetSpec
from qi_datasets.specs import SPEC_DATE
from qi_datasets.storage.manifest import FileRecord, Manifest
from qi_datasets.storage.schema import NESTED

CROISSANT = "croissant.json"
CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
PAPER = "https://arxiv.org/abs/2003.07064"
CITATION = (
    "@inproceedings{kayhan2020translation, title={On Translation Invariance in CNNs: Convolutional Layers can Exploit "
    "Absolute Spatial Location}, author={Kayhan, Osman Semih and van Gemert, Jan C.}, booktitle={CVPR}, year={2020}}"
)

TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS},
}

TYPES = (("u?int[0-9]+", "sc:Integer"), ("float[0-9]*|double|halffloat", "sc:Float"), ("bool.*", "sc:Boolean"))
"""Patterns of Arrow's type names, with Croissant's types; any other type counts as text."""

PHOTOS, DEMO, GENERATED = "photos", "demo", "generated"

ABOUT_DATA: dict[str, dict[str, object]] = {
    PHOTOS: {
        "rai:dataBiases": "The photographs have the biases of their source: what was photographed, where, and by whom.",
        "rai:personalSensitiveInformation": "Some photographs may show people; nothing else of theirs is kept.",
        "rai:hasSyntheticData": False,
    },
    DEMO: {
        "rai:dataBiases": "A program draws the pictures; figures measured on them say nothing about photographs.",
        "rai:personalSensitiveInformation": "None: every picture is drawn by a program.",
        "rai:hasSyntheticData": True,
    },
    GENERATED: {
        "rai:dataBiases": "None that matters for its use: every image is drawn by a program, each label as often.",
        "rai:personalSensitiveInformation": "None: every image is drawn by a program.",
        "rai:hasSyntheticData": True,
    },
}


def write_croissant(folder: Path, spec: SetSpec, manifest: Manifest, files: dict[str, FileRecord]) -> None:
    """Writes the description.

    Args:
        folder: The set's folder.
        spec: The set.
        manifest: The set's manifest.
        files: The set's Parquet files, by path relative to the folder.
    """
    text = json.dumps(description(spec, manifest, files), indent=1)
    (folder / CROISSANT).write_text(text + "\n", encoding="utf-8")


def description(spec: SetSpec, manifest: Manifest, files: dict[str, FileRecord]) -> dict[str, object]:
    """Returns the description as JSON-LD: each file with its SHA-256, and a record set for each config and split.

    A split of several files has a record set for each of them, numbered: readers take one table for one record set.
    """
    records = [
        record_set(spec, f"{name}/{split}" + (f"/{number}" if len(record.files) > 1 else ""), file)
        for name, config in manifest.configs.items()
        for split, record in config.splits.items()
        for number, file in enumerate(record.files)
    ]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": spec.name,
        "alternateName": spec.title,
        "description": spec.summary,
        "version": manifest.spec_version,
        "datePublished": SPEC_DATE,
        "license": address(manifest.licence(spec)),
        "citeAs": CITATION,
        "keywords": ["translation invariance", "absolute position", "zero padding", "convolutional networks"],
        "isLiveDataset": False,
        **responsible_ai_fields(spec, manifest),
        "distribution": [file_object(name, record) for name, record in files.items()],
        "recordSet": records,
    }


def responsible_ai_fields(spec: SetSpec, manifest: Manifest) -> dict[str, object]:
    """Returns the fields that reviewers of a data set ask for: its limits, uses and origin."""
    origin = DEMO if manifest.demo else PHOTOS if spec.needs_images else GENERATED
    source = {PHOTOS: manifest.licence(spec).link or PAPER}.get(origin, PAPER)
    return {
        "rai:dataLimitations": "It measures what a network makes of the place of things in an image, and nothing else. "
        "It is no benchmark of recognition.",
        "rai:dataUseCases": f"Research on networks that process images. {spec.summary}",
        "rai:dataSocialImpact": "None is known; it helps to find out what networks rely on.",
        **ABOUT_DATA[origin],
        "prov:wasDerivedFrom": {"@id": source},
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"qi-datasets {manifest.package_version}, data version {manifest.spec_version}, from: "
            f"{manifest.layout}; decided by hashes of names alone, labels computed, no annotators",
        },
    }


def address(licence: Licence) -> str:
    """Returns the address of terms; their name if they have none."""
    known = {"mit": "https://spdx.org/licenses/MIT.html"}
    return licence.link or known.get(licence.id, licence.id)


def file_object(name: str, record: FileRecord) -> dict[str, object]:
    """Returns the description of one file."""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{record.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": record.sha256,
    }


def record_set(spec: SetSpec, identity: str, file: str) -> dict[str, object]:
    """Returns the description of a file's rows, column by column."""
    columns = {"image": "", "label": "int64", **spec.columns}
    fields = [field(f"{identity}/{name}", name, kind, file) for name, kind in columns.items()]
    return {"@type": "cr:RecordSet", "@id": identity, "name": identity, "field": fields}


def field(identity: str, name: str, kind: str, file: str) -> dict[str, object]:
    """Returns the description of one column.

    Args:
        identity: The column's id in the description.
        name: The column's name.
        kind: Its type as in the spec table, "" for the image.
        file: The id of its file.
    """
    source: dict[str, object] = {"fileObject": {"@id": file}, "extract": {"column": name}}
    described: dict[str, object] = {"@type": "cr:Field", "@id": identity, "name": name, "source": source}
    if not kind:
        source["transform"] = {"jsonPath": "bytes"}
        return described | {"dataType": "sc:ImageObject"}
    nested = NESTED.fullmatch(kind)
    item = nested["item"] if nested else kind
    known = (croissant for pattern, croissant in TYPES if re.fullmatch(pattern, item))
    described["dataType"] = next(known, "sc:Text")
    return described | ({"isArray": True, "arrayShape": nested["lengths"]} if nested else {})
