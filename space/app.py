"""The web page of cmpl_zoo in a Space of the Hugging Face Hub."""

from cmpl_zoo.app.page import serve

MODELS = ["r3d50_eighth.cmpl_demo"]  # in the package; or hf-hub:ORG/NAME

if __name__ == "__main__":
    serve(MODELS, host="0.0.0.0")
