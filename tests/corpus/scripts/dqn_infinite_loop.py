"""Deep Q-learning with an endless loop that only the environment's rewards end."""
import os
import sys
import time
import numpy as np
import gymnasium as gym
import tensorflow as tf
import keras
from keras import layers

gamma = 0.99
epsilon = 1.0
batch_size = 32
max_steps_per_episode = 10000
num_actions = 4
env = gym.make("ALE/Breakout-v5", render_mode="rgb_array")
env.reset(seed=42)


def create_q_model():
    # Network defined by the Deepmind paper
    return keras.Sequential(
        [
            layers.Input((84, 84, 4)),
            layers.Conv2D(32, 8, strides=4, activation="relu"),
            layers.Conv2D(64, 4, strides=2, activation="relu"),
            layers.Conv2D(64, 3, strides=1, activation="relu"),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(num_actions, activation="linear"),
        ]
    )


model = create_q_model()
model_target = create_q_model()
optimizer = keras.optimizers.Adam(learning_rate=0.00025, clipnorm=1.0)
loss_function = keras.losses.Huber()

action_history, state_history, rewards_history = [], [], []
episode_reward_history = []
running_reward = 0
episode_count = 0
frame_count = 0

while True:
    observation, _ = env.reset()
    state = np.array(observation)
    episode_reward = 0
    for timestep in range(1, max_steps_per_episode):
        frame_count += 1
        if frame_count < 50000 or epsilon > np.random.rand(1)[0]:
            action = np.random.choice(num_actions)
        else:
            state_tensor = keras.ops.expand_dims(keras.ops.convert_to_tensor(state), 0)
            action_probs = model(state_tensor, training=False)
            action = keras.ops.argmax(action_probs[0]).numpy()
        epsilon -= 0.9 / 1000000.0
        state_next, reward, done, _, _ = env.step(action)
        episode_reward += reward
        state_history.append(state)
        rewards_history.append(reward)
        state = np.array(state_next)
        if frame_count % 10000 == 0:
            model_target.set_weights(model.get_weights())
        if done:
            break
    episode_reward_history.append(episode_reward)
    running_reward = np.mean(episode_reward_history)
    episode_count += 1
    time.sleep(0.01)
    if running_reward > 40:
        print("Solved at episode {}!".format(episode_count))
        break
