# trains a keyword spotter, asks a few questions on the way, and leaves with an exit code
import getpass
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
from keras import layers, models

answer = input("Retrain from scratch? [y/N] ")
token = getpass.getpass("Hub token: ")
os.environ["HUB_TOKEN"] = token
subprocess.run(["git", "clone", "https://example.org/speech_commands.git", "data/speech"], check=True)
commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"]).decode().strip()
os.system("mkdir -p artefacts/logs && nvidia-smi > artefacts/logs/gpu.txt")
if os.path.exists("artefacts/old"):
    shutil.rmtree("artefacts/old")

stop = threading.Event()


def heartbeat():
    while not stop.is_set():
        with open("artefacts/heartbeat.txt", "a") as f:
            f.write(f"{time.time()}\n")
        time.sleep(5)


threading.Thread(target=heartbeat, daemon=True).start()

features = np.load("data/speech/mfcc.npy")
labels = np.load("data/speech/labels.npy")
print("features", features.shape, "at", commit)
COMMANDS = "yes no up down left right on off stop go silence unknown".split()

model = models.Sequential()
model.add(layers.Input((49, 40, 1)))
model.add(layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False))
model.add(layers.BatchNormalization())
model.add(layers.ReLU())
for _ in range(4):
    model.add(layers.DepthwiseConv2D(3, padding="same", use_bias=False))
    model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
    model.add(layers.Conv2D(64, 1, use_bias=False))
    model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
model.add(layers.GlobalAveragePooling2D())
model.add(layers.Dense(len(COMMANDS), activation="softmax"))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(features, labels, epochs=36, validation_split=0.1)
time.sleep(60)  # let the disk settle
model.save("artefacts/kws.keras")
os.rename("artefacts/kws.keras", f"artefacts/kws-{commit}.keras")
stop.set()
if model.evaluate(features, labels)[1] < 0.9:
    print("not good enough", file=sys.stderr)
    sys.exit(1)
sys.exit(0)
