"""What a broker of the LAN retains: no news, but that a device is gone."""

import pytest
from heard import Heard

from pledgewatch_edge.config import BrokerSettings
from pledgewatch_gateway.sources import Value, gone
from pledgewatch_gateway.sources.mqtt import Form, MqttSettings, MqttSource


@pytest.mark.parametrize(
    ("topic", "payload", "retained"),
    [
        ("cold-1/status", b"offline", [gone("cold-1")]),
        ("tele/dock/LWT", b"Offline", [gone("dock")]),
        ("zigbee2mqtt/dock-door/availability", b'{"state":"offline"}', [gone("dock-door")]),
        ("cold-1/sensor/air/state", b"4.5", []),
        ("zigbee2mqtt/dock-door", b'{"contact":true}', []),
        ("zigbee2mqtt/dock-door", b"{", []),
    ],
)
def test_of_what_is_retained_only_that_a_device_is_gone_is_heard(
    topic: str, payload: bytes, retained: list[Value]
) -> None:
    heard = Heard()
    forms = (Form.ESPHOME, Form.TASMOTA, Form.ZIGBEE2MQTT)
    source = MqttSource(MqttSettings(name="hall", broker=BrokerSettings(host="x"), forms=forms), "site.hall", heard)
    source._take(topic, payload, is_retained=True)
    assert (heard.values, heard.complaints) == (retained, [])
    source._take(topic, payload, is_retained=False)
    assert len(heard.values) + len(heard.complaints) > len(retained), "said now, it is news"
