"""An SFT set that is there already, looked at through the service before anything is trained."""
