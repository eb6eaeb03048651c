"""Read and write film: probe what a file holds, read exact frames and clips, and write clips with metadata tags."""

from synthaug.video.decoding import SUFFIXES as SUFFIXES
from synthaug.video.decoding import FileKey as FileKey
from synthaug.video.decoding import VideoError as VideoError
from synthaug.video.decoding import file_key as file_key
from synthaug.video.decoding import frames_in_order as frames_in_order
from synthaug.video.decoding import holds_film as holds_film
from synthaug.video.frames import clip_times as clip_times
from synthaug.video.frames import indices_at as indices_at
from synthaug.video.frames import read_clip as read_clip
from synthaug.video.frames import read_frames as read_frames
from synthaug.video.frames import resize_frame as resize_frame
from synthaug.video.frames import stream_frames as stream_frames
from synthaug.video.pictures import Frame as Frame
from synthaug.video.pictures import is_plain as is_plain
from synthaug.video.pictures import to_picture as to_picture
from synthaug.video.probing import MENDED as MENDED
from synthaug.video.probing import VideoInfo as VideoInfo
from synthaug.video.probing import correct_timing as correct_timing
from synthaug.video.probing import picture_notes as picture_notes
from synthaug.video.probing import probe as probe
from synthaug.video.probing import remember as remember
from synthaug.video.probing import stamp_of as stamp_of
from synthaug.video.writing import FILMED as FILMED
from synthaug.video.writing import filmed_size as filmed_size
from synthaug.video.writing import read_metadata as read_metadata
from synthaug.video.writing import write_video as write_video
