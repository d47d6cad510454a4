import argparse
import logging
import os
import time

import numpy as np
from keras import Input, Model, layers, optimizers
from keras.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint

logger = logging.getLogger(__name__)


def get_parser():
    parser = argparse.ArgumentParser(description="Train a 1-D CNN on sensor windows")
    parser.add_argument("--data", type=str, required=True, help="an .npz file")
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--output", default="runs")
    parser.add_argument("--dropout", action="store_true")
    return parser


def build(args):
    inputs = Input((args.window, 9))
    x = inputs
    for i in range(args.blocks):
        x = layers.Conv1D(args.filters * 2**i, 7, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = layers.BatchNormalization(name=f"bn{i}")(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling1D(2)(x)
    x = layers.GlobalAveragePooling1D()(x)
    if args.dropout:
        x = layers.Dropout(0.5)(x)
    outputs = layers.Dense(args.classes, activation="softmax")(x)
    return Model(inputs, outputs)


def main():
    args = get_parser().parse_args()
    logging.basicConfig(level=logging.INFO)
    run = os.path.join(args.output, time.strftime("%Y%m%d-%H%M%S"))
    os.makedirs(run, exist_ok=True)
    with np.load(args.data) as archive:
        x, y = archive["x"], archive["y"]
    logger.info("windows: %s", x.shape)
    model = build(args)
    model.compile(optimizers.Adam(args.lr), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.summary(print_fn=logger.info)
    model.fit(
        x, y, epochs=args.epochs, validation_split=0.2,
        callbacks=[
            CSVLogger(os.path.join(run, "log.csv")),
            ModelCheckpoint(os.path.join(run, "best.keras"), save_best_only=True),
            EarlyStopping(patience=10),
        ],
    )
    model.save(os.path.join(run, "final.keras"))


if __name__ == "__main__":
    main()
