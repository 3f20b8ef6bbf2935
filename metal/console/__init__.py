"""The console broker: the only holder of serial-over-LAN sessions, one log per boot."""
