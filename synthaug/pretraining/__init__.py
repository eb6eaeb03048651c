"""Pretrain recognizers on synthetic clips alone, whose truth is known: joints, speeds, actions and views."""
