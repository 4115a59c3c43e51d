"""What GS1's JSON schema of EPCIS 2.0 asks of an event, and of the document that it comes in.

A rule looks at one value and tells its faults, each with the place and what would be right. What the standard lets
others extend may be whatever it says: a type of event, business step, disposition, measurement or reason of their own
is a URI, and so is the name of a field of their own (`example:colour`); what stands in such a field is theirs. Words of
the Core Business Vocabulary may be written bare, as the schema wants them, or in full, as older software does.

Two things are asked less strictly than there: a time may lack its seconds, and a URI only begins like one.

Words, fields and rules: EPCIS-JSON-Schema.json of GS1, version 2.0.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pledgewatch_cloud.decide.moments import short
from pledgewatch_cloud.decide.trade import fields
from pledgewatch_cloud.decide.trade.fields import Faults

Rule = Callable[[Faults, str, Any], None]

_CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f]+")
_CBV = re.compile(
    r"(?:urn:epcglobal:cbv:[a-z]+:|https?://(?:ref|ns)\.gs1\.org/cbv/[A-Za-z]+-|cbv:[A-Za-z]+-)([A-Za-z_]+)"
)
_OF_GS1 = re.compile(r"urn:epcglobal:cbv:|https?://(?:ref|ns)\.gs1\.org/cbv/|cbv:")
_OFFSET = re.compile(r"[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00)")
_UNIT = re.compile(r"[A-Z0-9]{2,3}")
_HEX = re.compile(r"[A-Fa-f0-9]+")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)*")
# How fields are called that an object may have besides the standard's own.
_THEIRS, _ANY, _NONE = _URI, re.compile(r"(?s:.*)"), re.compile(r"(?!)")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ACTIONS = ("OBSERVE", "ADD", "DELETE")
_STEPS = _words(
    "accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting "
    "decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting "
    "installing killing loading other packing picking receiving removing repackaging repairing replacing reserving "
    "retail_selling shipping staging_outbound stock_taking stocking storing transporting unloading unpacking "
    "void_shipping sensor_reporting sampling"
)
_DISPOSITIONS = _words(
    "active container_closed damaged destroyed dispensed disposed encoded expired in_progress in_transit inactive "
    "no_pedigree_match non_sellable_other partially_dispensed recalled reserved retail_sold returned "
    "sellable_accessible sellable_not_accessible stolen unknown available completeness_verified completeness_inferred "
    "conformant container_open mismatch_instance mismatch_class mismatch_quantity needs_replacement non_conformant "
    "unavailable"
)
_TRANSACTIONS = _words("bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt")
_PARTIES = ("owning_party", "possessing_party", "location")
_REASONS = ("did_not_occur", "incorrect_data")
_MEASUREMENTS = _words(
    "AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Radioactivity Altitude AmountOfSubstance "
    "AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area Capacitance "
    "Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate DynamicViscosity "
    "ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength Energy Exposure Force Frequency "
    "Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum Luminance LuminousFlux "
    "LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential Mass MassConcentration MassFlowRate "
    "MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass MolarVolume Power Pressure RadiantFlux "
    "RadiantIntensity RelativeHumidity Resistance Resistivity SolidAngle SpecificVolume Speed SurfaceDensity "
    "SurfaceTension Temperature Time Torque Voltage Volume VolumeFlowRate VolumeFraction VolumetricFlux Wavenumber"
)
_EXCEPTIONS = ("ALARM_CONDITION", "ERROR_CONDITION")
_COMPONENTS = _words(
    "x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing latitude "
    "longitude altitude"
)


def bare(text: str) -> str:
    """The bare word of the Core Business Vocabulary, however it is written; other texts as they are."""
    match = _CBV.fullmatch(text)
    return match[1] if match else text


def is_uri(text: str) -> bool:
    """Whether a text begins as a URI does: that it names something, and nobody's bare word."""
    return _URI.fullmatch(text) is not None


def _uri(faults: Faults, where: str, value: Any) -> None:
    if not isinstance(value, str) or not _URI.fullmatch(value):
        faults.errors.append(f"{where}: {short(value)} is no URI: a scheme, a colon and a name, as urn:uuid:…")


def _time(faults: Faults, where: str, value: Any) -> None:
    faults.gathered(0, fields.moment, where, value)


def _number(faults: Faults, where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        faults.errors.append(f"{where}: {short(value)} is no number: write it without quotation marks, as 7 or 4.5")


def _text(faults: Faults, where: str, value: Any) -> None:
    if not isinstance(value, str):
        faults.errors.append(f"{where}: a text is needed, not {short(value)}")


def _boolean(faults: Faults, where: str, value: Any) -> None:
    if not isinstance(value, bool):
        faults.errors.append(f"{where}: {short(value)} is neither true nor false")


def _anything(_faults: Faults, _where: str, _value: Any) -> None:
    """Takes whatever it is."""


def _like(pattern: re.Pattern[str], wanted: str) -> Rule:
    def rule(faults: Faults, where: str, value: Any) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            faults.errors.append(f"{where}: {short(value)} is not {wanted}")

    return rule


def _exactly(known: Iterable[str]) -> Rule:
    def rule(faults: Faults, where: str, value: Any) -> None:
        faults.gathered("", fields.one_of, where, value, tuple(known))

    return rule


def _word(known: Iterable[str]) -> Rule:
    """A word of the standard, or a URI of somebody else's."""
    words = frozenset(known)

    def rule(faults: Faults, where: str, value: Any) -> None:
        is_known = isinstance(value, str) and bare(value) in words
        is_theirs = isinstance(value, str) and _URI.fullmatch(value) and not _OF_GS1.match(value)
        if not is_known and not is_theirs:
            faults.errors.append(
                f"{where}: {short(value)} is neither a URI of your own, as urn:example:word, nor one of "
                f"{', '.join(sorted(words))}"
            )

    return rule


def _list_of(rule_of_one: Rule, at_least: int = 0, *, is_set: bool = False) -> Rule:
    def rule(faults: Faults, where: str, value: Any) -> None:
        if not isinstance(value, list):
            faults.errors.append(f"{where}: a list is needed, not {short(value)}")
            return
        if len(value) < at_least:
            faults.errors.append(f"{where}: is empty: name at least {at_least}, or leave it out")
        first: dict[Any, int] = {}
        for number, one in enumerate(value):
            place = f"{where}[{number}]"
            rule_of_one(faults, place, one)
            if is_set and isinstance(one, str) and first.setdefault(one, number) != number:
                faults.errors.append(f"{place}: {short(one)} stands at {where}[{first[one]}] already: name it once")

    return rule


def _object_of(rules: Mapping[str, Rule], needed: Iterable[str] = (), others: re.Pattern[str] = _THEIRS) -> Rule:
    """An object with these fields, of which some must be there, and with others where their names match."""

    def rule(faults: Faults, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            faults.errors.append(f"{where}: an object is needed, not {short(value)}")
            return
        faults.errors += [f"{_at(where, name)}: is missing" for name in needed if name not in value]
        for name, one in value.items():
            if name not in rules:
                faults.errors += [] if others.fullmatch(name) else [_no_field(where, name, rules, others)]
            elif one is None:
                faults.errors.append(f"{_at(where, name)}: is null: say what it is, or leave it out")
            else:
                rules[name](faults, _at(where, name), one)

    return rule


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _no_field(where: str, name: str, rules: Iterable[str], others: re.Pattern[str]) -> str:
    cure = "" if others is _NONE else "; one of your own has a prefix, as example:colour"
    return f"{where or 'the document'}: {short(name)} is no field here; there are {', '.join(rules)}{cure}"


def _one_or_more(rule_of_one: Rule) -> Rule:
    some = _list_of(rule_of_one)
    return lambda faults, where, value: (some if isinstance(value, list) else rule_of_one)(faults, where, value)


def _context(faults: Faults, where: str, value: Any) -> None:
    some = (
        {f"{where}[{number}]": one for number, one in enumerate(value)} if isinstance(value, list) else {where: value}
    )
    for place, one in some.items():
        if not isinstance(one, dict):
            _uri(faults, place, one)


_QUANTITIES = _list_of(
    _object_of(
        {"epcClass": _uri, "quantity": _number, "uom": _like(_UNIT, "a unit of two or three signs, as KGM")},
        ("epcClass",),
        _NONE,
    )
)
_EPCS = _list_of(_uri, is_set=True)
_PLACE = _object_of({"id": _uri}, ("id",), _ANY)
_METADATA = {
    "time": _time,
    "deviceID": _uri,
    "deviceMetadata": _uri,
    "rawData": _uri,
    "dataProcessingMethod": _uri,
    "bizRules": _uri,
}
_REPORT = _object_of(
    {
        "type": _word(_MEASUREMENTS),
        "exception": _word(_EXCEPTIONS),
        **_METADATA,
        "microorganism": _uri,
        "chemicalSubstance": _uri,
        "coordinateReferenceSystem": _uri,
        "component": _word(_COMPONENTS),
        "stringValue": _text,
        "booleanValue": _boolean,
        "hexBinaryValue": _like(_HEX, "hexadecimal digits"),
        "uriValue": _uri,
        **dict.fromkeys(
            ("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"),
            _number,
        ),
        "uom": _text,
    },
    ("type",),
)
_SENSORS = _list_of(
    _object_of(
        {
            "sensorMetadata": _object_of({**_METADATA, "startTime": _time, "endTime": _time}),
            "sensorReport": _list_of(_REPORT, 1),
        },
        ("sensorReport",),
    )
)
_SOME_DISPOSITIONS = _list_of(_word(_DISPOSITIONS), 1, is_set=True)


def _tied(name: str, kinds: Iterable[str], needed: Iterable[str], at_least: int = 0) -> Rule:
    return _list_of(_object_of({"type": _word(kinds), name: _uri}, needed, _NONE), at_least)


_ALL: Mapping[str, Rule] = {
    "@context": _context,
    "type": _text,
    "eventTime": _time,
    "recordTime": _time,
    "eventTimeZoneOffset": _like(_OFFSET, "an offset from UTC, as +01:00"),
    "eventID": _uri,
    "certificationInfo": _one_or_more(_uri),
    "errorDeclaration": _object_of(
        {"declarationTime": _time, "reason": _word(_REASONS), "correctiveEventIDs": _list_of(_uri)},
        ("declarationTime",),
    ),
}
"""What every event may say."""
_NEEDED = ("eventTime", "eventTimeZoneOffset")
_TIED = _tied("bizTransaction", _TRANSACTIONS, ("bizTransaction",), 1)
_MOST: Mapping[str, Rule] = {
    **_ALL,
    "bizStep": _word(_STEPS),
    "disposition": _word(_DISPOSITIONS),
    "readPoint": _PLACE,
    "bizLocation": _PLACE,
    "bizTransactionList": _tied("bizTransaction", _TRANSACTIONS, ("bizTransaction",)),
    "sourceList": _tied("source", _PARTIES, ("type", "source")),
    "destinationList": _tied("destination", _PARTIES, ("type", "destination")),
    "sensorElementList": _SENSORS,
}
"""What every event of the standard's own types may say."""
_SET_AND_UNSET = _object_of({"set": _SOME_DISPOSITIONS, "unset": _SOME_DISPOSITIONS}, others=_NONE)


def _persistent(faults: Faults, where: str, value: Any) -> None:
    _SET_AND_UNSET(faults, where, value)
    if value == {}:
        faults.errors.append(f"{where}: says nothing: give set or unset")


_PERSISTENT: Mapping[str, Rule] = {
    "persistentDisposition": _persistent,
    "ilmd": _object_of({}),
}
_GOODS: Mapping[str, Rule] = {**_MOST, "action": _exactly(ACTIONS), "quantityList": _QUANTITIES}
_CHILDREN: Mapping[str, Rule] = {
    **_MOST,
    "action": _exactly(ACTIONS),
    "parentID": _uri,
    "childEPCs": _list_of(_uri),
    "childQuantityList": _QUANTITIES,
}
_INPUTS, _OUTPUTS = ("inputEPCList", "inputQuantityList"), ("outputEPCList", "outputQuantityList")
_EVENTS: Mapping[str, Rule] = {
    "ObjectEvent": _object_of({**_GOODS, **_PERSISTENT, "epcList": _EPCS}, (*_NEEDED, "action")),
    "AggregationEvent": _object_of(_CHILDREN, (*_NEEDED, "action")),
    "AssociationEvent": _object_of(_CHILDREN, (*_NEEDED, "action", "parentID")),
    "TransactionEvent": _object_of(
        {**_GOODS, "parentID": _uri, "epcList": _list_of(_uri), "bizTransactionList": _TIED},
        (*_NEEDED, "action", "bizTransactionList"),
    ),
    "TransformationEvent": _object_of(
        {
            **_MOST,
            **_PERSISTENT,
            **dict.fromkeys((_INPUTS[0], _OUTPUTS[0]), _EPCS),
            **dict.fromkeys((_INPUTS[1], _OUTPUTS[1]), _QUANTITIES),
            "transformationID": _uri,
        },
        _NEEDED,
    ),
}
"""What the standard's own events may say and must."""
_OF_THEIR_OWN = _object_of(_ALL, _NEEDED, _ANY)

_DOCUMENTS: Mapping[str, Rule] = {
    "EPCISDocument": _object_of(
        {
            **dict.fromkeys(("instanceIdentifier", "sender", "receiver", "type"), _text),
            "@context": _context,
            "id": _uri,
            "schemaVersion": _like(_VERSION, "a version, as 2.0"),
            "creationDate": _time,
            "epcisHeader": _object_of({"epcisMasterData": _anything}),
            "epcisBody": _object_of({"eventList": _anything}, ("eventList",), _ANY),
        },
        ("@context", "schemaVersion", "creationDate", "epcisBody"),
    ),
    "EPCISQueryDocument": _object_of(
        {
            "type": _text,
            "@context": _context,
            "id": _uri,
            "schemaVersion": _like(_VERSION, "a version, as 2.0"),
            "creationDate": _time,
            "epcisBody": _object_of(
                {
                    "queryResults": _object_of(
                        {
                            "queryName": _text,
                            "subscriptionID": _text,
                            "resultsBody": _object_of(
                                {"eventList": _anything, "vocabularyList": _anything}, ("eventList",)
                            ),
                        },
                        ("queryName", "resultsBody"),
                    )
                },
                ("queryResults",),
            ),
        },
        ("@context", "epcisBody"),
    ),
}
"""What the documents that hold events may say and must, but for the events."""


def check_document(faults: Faults, document: Mapping[str, Any]) -> None:
    """Look at all of an EPCISDocument or EPCISQueryDocument but its events."""
    _DOCUMENTS[document["type"]](faults, "", document)


def check_event(faults: Faults, where: str, event: Mapping[str, Any]) -> None:
    """Look at one event. One without a document around it must say its context as well: see check_context."""
    kind = event.get("type")
    if not isinstance(kind, str):
        faults.errors.append(f"{where}.type: is missing: an EPCIS event says of which type it is")
    elif kind in _EVENTS:
        _EVENTS[kind](faults, where, event)
        faults.errors += [f"{where}: {text}" for text in _unsaid(kind, event)]
    elif _URI.fullmatch(kind):
        _OF_THEIR_OWN(faults, where, event)
    else:
        text = f"{short(kind)} is no type of event; one of your own has a prefix, as example:Sealing"
        faults.errors.append(f"{where}.type: {text}; the others are {', '.join(_EVENTS)}")


def check_context(faults: Faults, where: str, event: Mapping[str, Any]) -> None:
    """An event that comes by itself says what its words mean."""
    if "@context" not in event:
        faults.errors.append(
            f"{where}.@context: is missing: an event by itself says what its words mean; name {_CONTEXT}"
        )


def _unsaid(kind: str, event: Mapping[str, Any]) -> list[str]:
    """What no one field is wrong about, but several together."""
    is_delete = event.get("action") == "DELETE"
    is_of_goods = "epcList" in event or event.get("quantityList")
    match kind:
        case "ObjectEvent":
            if not is_of_goods and not (event.get("sensorElementList") and "readPoint" in event):
                return ["give epcList (it may be empty), quantityList, or sensorElementList with its readPoint"]
            if "ilmd" in event and event.get("action") != "ADD":
                return ["ilmd describes what is new: it goes with the action ADD alone"]
        case "TransactionEvent":
            if not is_of_goods and not is_delete:
                return ["give epcList (it may be empty) or quantityList; only with the action DELETE all are meant"]
        case "AggregationEvent" | "AssociationEvent":
            if not (event.get("childEPCs") or event.get("childQuantityList") or is_delete):
                return ["give childEPCs or childQuantityList; only with the action DELETE all are meant"]
        case "TransformationEvent":
            ends = [any(event.get(name) for name in names) for names in (_INPUTS, _OUTPUTS)]
            if not all(ends) and not (any(ends) and "transformationID" in event):
                return ["give what went in and what came out, or one of both and the transformationID"]
    return []
