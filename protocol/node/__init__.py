"""SQL, MQTT, NTP and key adapters that both sides need."""
