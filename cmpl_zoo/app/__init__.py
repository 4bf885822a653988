"""The web page: a video in, what networks see in it out. `page` needs gradio, which the extra `app` brings."""
