"""Results → documents → text. Renderers do no arithmetic."""
