"""Read and write film: probe what a file holds, read exact frames and clips, and write clips with metadata tags."""

from synthaug.video.decoding import SUFFIXES as SUFFIXES
from synthaug.video.decoding import FileKey as FileKey
from synthaug.video.decoding import Frame as Frame
from synthaug.video.decoding import VideoError as VideoError
from synthaug.video.decoding import file_key as file_key
from synthaug.video.decoding import frames_in_order as frames_in_order
from synthaug.video.decoding import rotate_upright as rotate_upright
from synthaug.video.frames import clip_times as clip_times
from synthaug.video.frames import indices_at as indices_at
from synthaug.video.frames import read_clip as read_clip
from synthaug.video.frames import read_frames as read_frames
from synthaug.video.frames import resize_frame as resize_frame
from synthaug.video.frames import stream_frames as stream_frames
from synthaug.video.probing import VideoInfo as VideoInfo
from synthaug.video.probing import probe as probe
from synthaug.video.probing import remember as remember
from synthaug.video.writing import FILMED as FILMED
from synthaug.video.writing import filmed_size as filmed_size
from synthaug.video.writing import read_metadata as read_metadata
from synthaug.video.writing import write_video as write_video
