"""v_rea: is the reasoning sound? Certain checks first, then a model's verdict."""
