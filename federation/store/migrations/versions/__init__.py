"""One file per step, named rNNNN; a step that was released is never edited."""
