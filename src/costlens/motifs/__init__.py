"""Block families, each recognised by structure alone and held against its plain form."""
