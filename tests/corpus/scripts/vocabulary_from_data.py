"""The width of the output layer is a property of a file that is not here."""
import numpy as np
import pandas as pd
from tensorflow.keras.preprocessing.text import Tokenizer
from tensorflow.keras.preprocessing.sequence import pad_sequences
from tensorflow.keras.models import Sequential
from tensorflow.keras.layers import Embedding, LSTM, Dense, Dropout, Input

df = pd.read_csv('articles.csv')
headlines = [h for h in df.headline.values if h != 'Unknown']
tokenizer = Tokenizer()
tokenizer.fit_on_texts(headlines)
total_words = len(tokenizer.word_index) + 1
sequences = tokenizer.texts_to_sequences(headlines)
max_len = max(len(s) for s in sequences)
padded = np.array(pad_sequences(sequences, maxlen=max_len, padding='pre'))
predictors, label = padded[:, :-1], padded[:, -1]

model = Sequential()
model.add(Input(shape=(max_len - 1,)))
model.add(Embedding(total_words, 10))
model.add(LSTM(100))
model.add(Dropout(0.1))
model.add(Dense(total_words, activation='softmax'))
model.compile(loss='sparse_categorical_crossentropy', optimizer='adam')
model.fit(predictors, label, epochs=100, verbose=5)
