"""OGC SensorThings API 1.1 over devices, channels and readings: /sta/v1.1/."""
