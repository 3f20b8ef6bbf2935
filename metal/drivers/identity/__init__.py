"""Who the machine is and what it computes with: SMBIOS, processor, memory, firmware mode."""
