"""The one place that talks to the model providers' SDKs."""
