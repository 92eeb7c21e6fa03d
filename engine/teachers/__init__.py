"""Teachers: networks trained on images alone, whose representations are distilled."""
