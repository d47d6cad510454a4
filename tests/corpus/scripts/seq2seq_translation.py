"""Character-level recurrent sequence-to-sequence model, with the sampling models beside it."""
import numpy as np
import keras
from pathlib import Path

batch_size = 64
epochs = 100
latent_dim = 256  # Latent dimensionality of the encoding space.
num_samples = 10000
data_path = "fra-eng/fra.txt"

with open(data_path, "r", encoding="utf-8") as f:
    lines = f.read().split("\n")

input_texts, target_texts = [], []
for line in lines[: min(num_samples, len(lines) - 1)]:
    input_text, target_text, _ = line.split("\t")
    target_text = "\t" + target_text + "\n"
    input_texts.append(input_text)
    target_texts.append(target_text)

# fixed alphabets, so that a saved model fits later runs
num_encoder_tokens = 71
num_decoder_tokens = 93
max_encoder_seq_length = 16
max_decoder_seq_length = 59

encoder_input_data = np.zeros((len(input_texts), max_encoder_seq_length, num_encoder_tokens), dtype="float32")
decoder_input_data = np.zeros((len(input_texts), max_decoder_seq_length, num_decoder_tokens), dtype="float32")
decoder_target_data = np.zeros((len(input_texts), max_decoder_seq_length, num_decoder_tokens), dtype="float32")

# Define an input sequence and process it.
encoder_inputs = keras.Input(shape=(max_encoder_seq_length, num_encoder_tokens))
encoder = keras.layers.LSTM(latent_dim, return_state=True)
encoder_outputs, state_h, state_c = encoder(encoder_inputs)

# We discard `encoder_outputs` and only keep the states.
encoder_states = [state_h, state_c]

decoder_inputs = keras.Input(shape=(max_decoder_seq_length, num_decoder_tokens))
decoder_lstm = keras.layers.LSTM(latent_dim, return_sequences=True, return_state=True)
decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=encoder_states)
decoder_dense = keras.layers.Dense(num_decoder_tokens, activation="softmax")
decoder_outputs = decoder_dense(decoder_outputs)

model = keras.Model([encoder_inputs, decoder_inputs], decoder_outputs)
model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
model.fit(
    [encoder_input_data, decoder_input_data],
    decoder_target_data,
    batch_size=batch_size,
    epochs=epochs,
    validation_split=0.2,
)
model.save("s2s_model.keras")

# Sampling models, on the layers of the trained one
encoder_model = keras.Model(encoder_inputs, encoder_states)

step_inputs = keras.Input(shape=(1, num_decoder_tokens))
decoder_state_input_h = keras.Input(shape=(latent_dim,))
decoder_state_input_c = keras.Input(shape=(latent_dim,))
decoder_states_inputs = [decoder_state_input_h, decoder_state_input_c]
step_outputs, state_h_dec, state_c_dec = decoder_lstm(step_inputs, initial_state=decoder_states_inputs)
decoder_states = [state_h_dec, state_c_dec]
step_outputs = decoder_dense(step_outputs)
decoder_model = keras.Model([step_inputs] + decoder_states_inputs, [step_outputs] + decoder_states)


def decode_sequence(input_seq):
    states_value = encoder_model.predict(input_seq, verbose=0)
    target_seq = np.zeros((1, 1, num_decoder_tokens))
    target_seq[0, 0, 0] = 1.0
    stop_condition = False
    decoded_sentence = ""
    while not stop_condition:
        output_tokens, h, c = decoder_model.predict([target_seq] + states_value, verbose=0)
        sampled_token_index = np.argmax(output_tokens[0, -1, :])
        decoded_sentence += str(sampled_token_index) + " "
        # Exit condition: either hit max length or find stop character.
        if sampled_token_index == 1 or len(decoded_sentence) > max_decoder_seq_length:
            stop_condition = True
        target_seq = np.zeros((1, 1, num_decoder_tokens))
        target_seq[0, 0, sampled_token_index] = 1.0
        states_value = [h, c]
    return decoded_sentence


for seq_index in range(20):
    input_seq = encoder_input_data[seq_index : seq_index + 1]
    print("Decoded sentence:", decode_sequence(input_seq))
