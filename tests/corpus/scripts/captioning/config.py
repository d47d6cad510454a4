import os

ROOT = os.path.dirname(os.path.abspath(__file__))
IMAGES = os.path.join(ROOT, "Flicker8k_Dataset")
VOCAB_SIZE = 10000
SEQ_LENGTH = 25
EMBED_DIM = 256
FF_DIM = 512
HEADS = 2
FEATURES = (64, 1280)  # what EfficientNetB0 leaves of a 256 x 256 image, flattened
EPOCHS = 30
