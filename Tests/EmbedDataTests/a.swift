import EmbedData
