"""Report-in to Discovery, or a refusal with its reason. Pure."""
