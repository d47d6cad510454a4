from .nets import build_fpn
